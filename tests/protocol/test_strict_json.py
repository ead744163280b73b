import json  # noqa: TID251 - another reader than ours
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import messages, strict_json
from protocol.errors import MalformedMessageError
from tests.protocol.makers import every_item


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    text: str


note = msgspec.json.Decoder(Note)
mirror = msgspec.json.Decoder(messages.Mirror)


def is_strict(raw: bytes) -> bool:
    try:
        strict_json.check(raw, "x")
    except MalformedMessageError:
        return False
    return True


def test_what_is_written_is_read() -> None:
    raw = strict_json.write(Note(7, "é"))
    assert raw == '{"number":7,"text":"é"}'.encode()
    assert strict_json.read(raw, note, "x") == Note(7, "é")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"text":"a","number":7}',
        b' { "number" : 7 , "text" : "a" } ',
        b'{\t"number":7,"text":"a"}',
        rb'{"number":7,"text":"\u0061"}',
        rb'{"n\u0075mber":7,"text":"a"}',
    ],
)
def test_another_order_and_white_space_mean_the_same(raw: bytes) -> None:
    assert strict_json.read(raw, note, "x") == Note(7, "a")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"number":7,"number":7,"text":"a"}',
        b'{"number":7,"text":"a","text":"b"}',
        rb'{"number":7,"text":"a","t\u0065xt":"b"}',
        b'{"number":7.0,"text":"a"}',
        b'{"number":7e0,"text":"a"}',
        b'{"number":1e400,"text":"a"}',
        b'{"number":NaN,"text":"a"}',
        b'{"number":Infinity,"text":"a"}',
        b'{"number":true,"text":"a"}',
        b'{"number":-0,"text":"a"}',
        b'{"number":-0.0,"text":"a"}',
        b'{"number":07,"text":"a"}',
        b'{"number":+7,"text":"a"}',
        b'{"number":"7","text":"a"}',
        b'{"number":null,"text":"a"}',
        b'{"number":7,"text":null}',
        b'{"number":7,"text":"a","more":1}',
        b'{"number":7}',
        b'{"number":7,"text":"a"}}',
        b'{"number":7,"text":"a"} x',
        b'{"number":7,"text":"a"}\0',
        b'{"number":7,"text":"a",}',
        b'{"number":7,"text":"a"}{}',
        b'\xef\xbb\xbf{"number":7,"text":"a"}',
        rb'{"number":7,"text":"\ud800"}',
        rb'{"number":7,"text":"\udc00\ud800"}',
        b'{"number":7,"text":"\xed\xa0\x80"}',
        b'{"number":7,"text":"\xff"}',
        b'{"number":7,"text":"\xc0\xaf"}',
        b'{"number":7,"text":"a\nb"}',
        b"{'number':7,'text':'a'}",
        b'{"number":7,"text":"a"} // a comment',
        b'[7,"a"]',
        b"null",
        b"",
    ],
)
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        strict_json.read(raw, note, "x")


def test_a_number_goes_up_to_2_to_the_53_less_1() -> None:
    highest = 2**53 - 1
    for sign in ("", "-"):
        assert is_strict(f'{{"n":{sign}{highest}}}'.encode())
        assert not is_strict(f'{{"n":{sign}{highest + 1}}}'.encode())
    assert not is_strict(b'{"n":%d}' % 10**26)
    assert not is_strict(b'{"n":' + b"9" * 5_000 + b"}")


def test_a_fields_number_goes_up_to_2_to_the_53_less_1() -> None:
    line = messages.write_line(every_item()["mirror"])
    highest = line.replace(b"-5", b"%d" % (2**53 - 1))
    assert strict_json.read(highest, mirror, "x").balance == 2**53 - 1
    with pytest.raises(MalformedMessageError):
        strict_json.read(line.replace(b"-5", b"%d" % 2**53), mirror, "x")


def test_eight_levels_are_deep_enough() -> None:
    assert is_strict(b"[" * 8 + b"]" * 8)
    assert not is_strict(b"[" * 9 + b"]" * 9)
    assert is_strict(b'{"a":' * 8 + b"1" + b"}" * 8)
    assert not is_strict(b'{"a":' * 9 + b"1" + b"}" * 9)
    assert not is_strict(b"[" * 100_000 + b"]" * 100_000)


def test_a_duplicate_is_found_at_any_depth() -> None:
    for depth in range(7):
        around = b'{"a":' * depth, b"}" * depth
        assert is_strict(around[0] + b'{"b":1,"c":1}' + around[1])
        assert not is_strict(around[0] + b'{"b":1,"b":1}' + around[1])
        assert not is_strict(around[0] + b'[{"b":1,"b":1}]' + around[1])


def test_a_lone_surrogate_is_found_in_names_too() -> None:
    assert is_strict(rb'{"\ud83c\udf3b":1}')
    assert not is_strict(rb'{"\ud83c":1}')
    assert not is_strict(rb'[["\udf3b"]]')


def test_the_error_names_the_field() -> None:
    with pytest.raises(MalformedMessageError, match=r"^note: cannot read"):
        strict_json.read(b"{}", note, "note")


DECODERS: list[tuple[bytes, msgspec.json.Decoder[Any]]] = [
    (messages.write_line(item), msgspec.json.Decoder(type(item)))
    for item in every_item().values()
]
REPLACEMENTS = (
    b"1e2",
    b"-0",
    b"1.0",
    b"true",
    b"null",
    b'"x"',
    b"9007199254740992",
    rb'"\ud800"',
    b"[[[[[[[[[]]]]]]]]]",
    b'{"a":1,"a":1}',
    b" 7 ",
    b"\xef\xbb\xbf",
    b',"type":"mirror"',
)


@st.composite
def spoiled_lines(
    draw: st.DrawFn,
) -> tuple[bytes, msgspec.json.Decoder[Any]]:
    """An item's line with a piece of it replaced, doubled or left out."""
    line, decoder = draw(st.sampled_from(DECODERS))
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(len(line), start + 8)))
    piece = draw(
        st.one_of(
            st.sampled_from(REPLACEMENTS),
            st.just(line[start:end] * 2),
            st.binary(max_size=2),
        )
    )
    return line[:start] + piece + line[end:], decoder


@st.composite
def rebuilt_lines(draw: st.DrawFn) -> tuple[bytes, msgspec.json.Decoder[Any]]:
    """An item with a value replaced by any JSON, its names in any order."""
    line, decoder = draw(st.sampled_from(DECODERS))
    pairs = draw(st.permutations(list(json.loads(line).items())))
    name = draw(st.sampled_from([name for name, _ in pairs]))
    other = draw(
        st.one_of(
            st.integers(-(2**54), 2**54),
            st.booleans(),
            st.floats(),
            st.text(max_size=3),
            st.just("\ud800"),
        )
    )
    is_changed = draw(st.booleans())
    found = [
        (key, other if is_changed and key == name else value) for key, value in pairs
    ]
    if draw(st.booleans()):
        found.append((name, other))
    text = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in found)
    return f"{{{text}}}".encode(), decoder


@settings(max_examples=3_000)
@given(st.one_of(spoiled_lines(), rebuilt_lines()))
def test_the_fast_road_lets_nothing_pass_that_the_slow_one_refuses(
    case: tuple[bytes, msgspec.json.Decoder[Any]],
) -> None:
    raw, decoder = case
    try:
        value = strict_json.read(raw, decoder, "x")
    except MalformedMessageError:
        return
    assert is_strict(raw)
    # Two readers see the same document.
    seen = strict_json.check(raw, "x")
    assert isinstance(seen, dict)
    assert seen.items() <= msgspec.to_builtins(value).items()
