"""Questions and answers as nodes write and read them: nobody between can, or forge."""

import msgspec
import pytest

from nodes.rules import inquiries
from nodes.rules.inquiries import Ends
from protocol import sealing
from protocol.address import Group
from protocol.base64url import read_base64url, write_base64url
from protocol.errors import MalformedMessageError
from protocol.inquiry import Inquiry, InquiryAnswer, Payee, SealedInquiry
from protocol.messages import write_line
from tests.peer.makers import directory_of
from tests.protocol.makers import (
    FEDERATION,
    ID,
    MECHELEN,
    OOSTENDE,
    sealed_answer,
    sealed_inquiry,
    sealing_key,
    seed,
)

NONCE = seed("nonce")[:24]
BOB = Payee(account="bob", name="Bob")
BY_ACCOUNT = Inquiry(account="bob", name=None)
BY_NAME = Inquiry(account=None, name="Bo")


def ends(own: Group) -> Ends:
    return Ends(sealing_key(own), FEDERATION, own, directory_of())


def test_a_question_is_written_as_the_vectors_have_it_and_opens_there() -> None:
    line = inquiries.write_inquiry(ends(OOSTENDE), MECHELEN, ID, BY_ACCOUNT, NONCE)
    assert line == sealed_inquiry()
    assert inquiries.open_inquiry(ends(MECHELEN), line) == BY_ACCOUNT


def test_an_answer_is_written_as_the_vectors_have_it_and_opens_there() -> None:
    asked = sealed_inquiry()
    line = inquiries.write_answer(ends(MECHELEN), asked, [BOB], NONCE)
    assert line == sealed_answer()
    assert inquiries.open_answer(ends(OOSTENDE), BY_ACCOUNT, line) == [BOB]


def test_one_changed_bit_anywhere_in_a_box_opens_nothing() -> None:
    raw = bytearray(read_base64url(sealed_inquiry().box, "box"))
    for bit in range(8 * len(raw)):
        raw[bit // 8] ^= 1 << bit % 8
        line = sealed_inquiry(box=write_base64url(bytes(raw)))
        assert inquiries.open_inquiry(ends(MECHELEN), line) is None, bit
        raw[bit // 8] ^= 1 << bit % 8
    assert inquiries.open_inquiry(
        ends(MECHELEN), sealed_inquiry(box=write_base64url(bytes(raw)))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"inquiry": "1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"},
        {"from_": "gent"},
        {"from_": MECHELEN},
        {"from_": "hub"},
        {"to": OOSTENDE},
        {"to": "hub"},
        {"box": "AA"},
        {"box": sealed_answer().box},
    ],
)
def test_a_question_with_another_name_or_id_on_it_opens_nothing(
    changes: dict[str, str],
) -> None:
    line = sealed_inquiry(**changes)
    assert inquiries.open_inquiry(ends(MECHELEN), line) is None


def test_an_answer_is_no_question_and_belongs_to_one_id() -> None:
    for changes in (
        {"answer": "1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"},
        {"box": sealed_inquiry().box},
        {"from_": OOSTENDE},
    ):
        line = sealed_answer(**changes)
        assert inquiries.open_answer(ends(OOSTENDE), BY_ACCOUNT, line) is None


def boxed(content: bytes) -> str:
    """What a member group of ill will might put into a box."""
    channel = sealing.outgoing(
        sealing_key(MECHELEN),
        sealing_key(OOSTENDE).public,
        FEDERATION,
        MECHELEN,
        OOSTENDE,
    )
    return channel.seal(content, NONCE, f"answer {ID}")


@pytest.mark.parametrize(
    "answer",
    [
        InquiryAnswer(payees=[Payee(account="an", name="An")]),
        InquiryAnswer(payees=[BOB, BOB]),
        InquiryAnswer(payees=[Payee(account="bob", name="B\u202eob")]),
        InquiryAnswer(payees=[Payee(account="bob", name="")]),
        InquiryAnswer(payees=[Payee(account="bob", name="B" * 81)]),
        InquiryAnswer(payees=[Payee(account="Bob", name="Bob")]),
    ],
)
def test_an_answer_to_something_else_counts_as_none(answer: InquiryAnswer) -> None:
    line = sealed_answer(box=boxed(write_line(answer)))
    assert inquiries.open_answer(ends(OOSTENDE), BY_ACCOUNT, line) is None


def test_by_name_ten_are_found_and_no_more() -> None:
    for many, is_taken in ((10, True), (11, False)):
        payees = [Payee(account=f"bob{number}", name="Bob") for number in range(many)]
        line = sealed_answer(box=boxed(write_line(InquiryAnswer(payees=payees))))
        opened = inquiries.open_answer(ends(OOSTENDE), BY_NAME, line)
        assert (opened == payees) is is_taken


def answer_to(asked: SealedInquiry, payees: list[Payee]) -> str:
    return inquiries.write_answer(ends(MECHELEN), asked, payees, NONCE).box


def test_every_answer_is_of_one_length() -> None:
    longest = Payee(account="b" * 32, name="\U0001d504" * 80)
    lengths = {
        len(answer_to(sealed_inquiry(), payees))
        for payees in ([], [BOB], [BOB] * 10, [longest] * 10)
    }
    assert len(lengths) == 1


def test_every_question_is_of_one_length() -> None:
    lengths = set()
    for asked in (
        BY_ACCOUNT,
        BY_NAME,
        Inquiry(account="b" * 32, name=None),
        Inquiry(account=None, name="\U0001d504" * 80),
        Inquiry(account=None, name='"' * 80),
    ):
        line = inquiries.write_inquiry(ends(OOSTENDE), MECHELEN, ID, asked, NONCE)
        lengths.add(len(line.box))
    assert len(lengths) == 1


@pytest.mark.parametrize("text", ["Bo", "  Bo ", "É.", "b" * 80, "O'Neill-Peeters"])
def test_a_part_of_a_name_is_plain_text(text: str) -> None:
    assert inquiries.read_part_of_name(text) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "B", " B ", "e\u0301", "\u0301\u0301", "\u034f\u034f", "b" * 81,
             "B\x00b", "B\u202eb", "B\nb", "B\ud800b"]
)  # fmt: skip
def test_what_is_no_part_of_a_name_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        inquiries.read_part_of_name(text)


@pytest.mark.parametrize("text", ["\u034f\u034f", "\u0301\u0301", "B\x00"])
def test_another_node_may_not_ask_what_a_member_may_not(text: str) -> None:
    asked = msgspec.structs.replace(BY_NAME, name=text)
    line = inquiries.write_inquiry(ends(OOSTENDE), MECHELEN, ID, asked, NONCE)
    assert inquiries.open_inquiry(ends(MECHELEN), line) is None
