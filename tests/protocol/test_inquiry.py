import json  # noqa: TID251 - another reader than ours
from typing import Any

import pytest

from protocol import inquiry, messages
from protocol.errors import MalformedMessageError
from protocol.inquiry import (
    LINES_MAX,
    Inquiry,
    InquiryAnswer,
    Payee,
    read_inquiry,
    read_line,
    read_lines,
)
from protocol.sealing import PADDED_LENGTHS
from tests.protocol.makers import ID, sealed_answer, sealed_inquiry

GOOD = {
    "inquiry": json.loads(messages.write_line(sealed_inquiry())),
    "answer": json.loads(messages.write_line(sealed_answer())),
}


def written(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize("line", [sealed_inquiry(), sealed_answer()])
def test_a_line_is_read_as_it_was_written(line: inquiry.InquiryLine) -> None:
    assert read_line(messages.write_line(line)) == line


def test_another_order_and_spaces_say_the_same() -> None:
    turned = json.dumps(dict(reversed(GOOD["inquiry"].items())), indent=None).encode()
    assert read_line(turned) == sealed_inquiry()


@pytest.mark.parametrize("kind", ["inquiry", "answer"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "0F0F0F0F-1e1e-8d2d-9c3c-4b4b4b4b4b4b"),
        ("id", ID + "\n"),
        ("id", ""),
        ("id", None),
        ("id", 7),
        ("from", "Oostende"),
        ("from", "x"),
        ("from", None),
        ("from", ["oostende"]),
        ("to", "mechelen\n"),
        ("to", ""),
        ("to", True),
        ("box", ""),
        ("box", "a b"),
        ("box", "A="),
        ("box", "A\u20ac"),
        ("box", 1.5),
        ("box", "A" * (messages.SEALED_LINE_LENGTH_MAX + 1)),
        ("box", ...),
        ("to", ...),
        ("from", ...),
        ("id", ...),
        ("for", 1),
        ("other", None),
    ],
)
def test_a_malformed_line_is_left_out(kind: str, name: str, value: object) -> None:
    fields = {**GOOD[kind], (kind if name == "id" else name): value}
    kept = {name: value for name, value in fields.items() if value is not ...}
    assert read_line(written(kept)) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        written({**GOOD["inquiry"], "answer": ID}),
        written(GOOD["inquiry"]).replace(b'"to"', b'"to":"gent","to"'),
        written(GOOD["inquiry"]) + b" {}",
        written(GOOD["inquiry"]) + b"\r",
        b"\xef\xbb\xbf" + written(GOOD["inquiry"]),
        b"{" * 3000,
    ],
)
def test_what_is_no_line_of_ours_is_left_out(line: bytes) -> None:
    assert read_line(line) is None


def test_a_line_has_at_most_6_kib() -> None:
    around = len(messages.write_line(sealed_inquiry(box="A"))) - 1
    for over, is_read in ((0, True), (1, False)):
        box = "A" * (messages.SEALED_LINE_LENGTH_MAX - around + over)
        line = messages.write_line(sealed_inquiry(box=box))
        assert (read_line(line) is not None) is is_read


def test_lines_beyond_the_hundredth_are_not_read() -> None:
    line = messages.write_line(sealed_inquiry())
    good, left_out = read_lines([b"{"] * 60 + [line] * 60)
    assert (len(good), left_out) == (40, 80)
    assert LINES_MAX == 100


@pytest.mark.parametrize(
    "asked", [Inquiry(account="bob", name=None), Inquiry(account=None, name="Bo")]
)
def test_a_question_is_read_as_it_was_written(asked: Inquiry) -> None:
    assert read_inquiry(messages.write_line(asked)) == asked


@pytest.mark.parametrize(
    "line",
    [
        b'{"account":null,"name":null}',
        b'{"account":"bob","name":"Bob"}',
        b'{"account":"bob"}',
        b'{"name":"Bob"}',
        b'{"account":"Bob","name":null}',
        b'{"account":null,"name":"B"}',
        b'{"account":null,"name":"%s"}' % (b"B" * 81),
        b'{"account":"bob","name":null,"limit":1000}',
        b'{"account":"bob","account":"bob","name":null}',
        b'{"account":1,"name":null}',
    ],
)
def test_a_question_is_for_one_thing(line: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        read_inquiry(line)


def test_the_longest_answer_fits_the_box_that_every_answer_has() -> None:
    # Four bytes each in UTF-8, or two as JSON escapes them.
    for letter in ("\U0001d504", '"', "\\"):
        payee = Payee(account="a" * 32, name=letter * 80)
        answer = InquiryAnswer(payees=[payee] * inquiry.PAYEES_MAX)
        assert len(messages.write_line(answer)) < PADDED_LENGTHS[-1]
    line = messages.write_line(sealed_answer())
    assert len(line) <= messages.SEALED_LINE_LENGTH_MAX
