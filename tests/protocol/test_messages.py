import json  # noqa: TID251 - another reader than ours
from typing import Any

import msgspec
import pytest

from protocol import messages
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.messages import read_item, write_line
from tests.protocol.makers import AT, every_item, hash_of, prepare

UNREADABLE = ItemRefusalCode.UNREADABLE
UNKNOWN_TYPE = ItemRefusalCode.UNKNOWN_TYPE
ITEMS = every_item()
FIELDS = [
    (kind, name) for kind, item in ITEMS.items() for name in msgspec.to_builtins(item)
]


def changed(item: messages.AnyItem, **changes: Any) -> bytes:
    """Write an item's line with fields changed, or left out where ``...`` stands."""
    fields = msgspec.to_builtins(item) | changes
    kept = {name: value for name, value in fields.items() if value is not ...}
    return json.dumps(kept, separators=(",", ":")).encode()


def test_every_kind_of_item_is_here() -> None:
    assert {type(item) for item in ITEMS.values()} == set(messages.AnyItem.__args__)


@pytest.mark.parametrize("kind", ITEMS)
def test_an_item_comes_back_as_it_was_written(kind: str) -> None:
    line = write_line(ITEMS[kind])
    assert read_item(line) == ITEMS[kind]
    assert write_line(ITEMS[kind]) == line
    assert json.loads(line)["type"] == kind.split()[0]


@pytest.mark.parametrize("kind", ITEMS)
def test_an_item_in_another_order_and_with_spaces_is_the_same(kind: str) -> None:
    fields = json.loads(write_line(ITEMS[kind]))
    turned = dict(reversed(fields.items()))
    assert read_item(json.dumps(turned, indent=None).encode()) == ITEMS[kind]


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_an_item_with_a_field_missing_is_unreadable(kind: str, name: str) -> None:
    assert read_item(changed(ITEMS[kind], **{name: ...})) is UNREADABLE


@pytest.mark.parametrize("kind", ITEMS)
@pytest.mark.parametrize("name", ["more", "Type", "id ", ""])
def test_an_item_with_an_unknown_field_is_unreadable(kind: str, name: str) -> None:
    assert read_item(changed(ITEMS[kind], **{name: "x"})) is UNREADABLE


@pytest.mark.parametrize("kind", [kind for kind in ITEMS if "decision" not in kind])
def test_only_decisions_have_a_kind(kind: str) -> None:
    assert read_item(changed(ITEMS[kind], kind="x")) is UNREADABLE


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_an_item_with_a_field_of_another_type_is_unreadable(
    kind: str, name: str
) -> None:
    for wrong in (1.5, True, {"a": 1}, [[]]):
        assert read_item(changed(ITEMS[kind], **{name: wrong})) is UNREADABLE


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_said_twice_is_unreadable(kind: str, name: str) -> None:
    line = write_line(ITEMS[kind])
    value = json.dumps(json.loads(line)[name]).encode()
    doubled = line[:-1] + b',"%s":%s}' % (name.encode(), value)
    assert read_item(doubled) is UNREADABLE


@pytest.mark.parametrize(
    "kind", ["transfer.hold", "", "Mirror", "mirror ", "cycle.agreed"]
)
def test_a_type_of_a_later_version_is_unknown(kind: str) -> None:
    assert read_item(json.dumps({"type": kind, "more": [1]}).encode()) is UNKNOWN_TYPE


def test_a_decision_of_a_later_kind_is_unknown() -> None:
    assert read_item(changed(ITEMS["decision log"], kind="charge")) is UNKNOWN_TYPE


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"{}",
        b"[]",
        b"null",
        b'{"type":null}',
        b'{"type":7}',
        b'{"type":"mirror"}',
        b'{"type":"later","n":1.5}',
        b'{"type":"later","n":1,"n":1}',
        b'{"type":"later","type":"later"}',
        b'{"type":"later"',
        b'{"type":"later"}\0',
        b'{"type":"\xff"}',
        rb'{"type":"later","a":"\ud800"}',
        b'{"type":"later","a":' + b"[" * 8 + b"]" * 8 + b"}",
        b"[" * 10_000,
        b'{"a":' * 3_000,
    ],
)
def test_what_is_no_strict_json_is_unreadable_whatever_its_type(line: bytes) -> None:
    assert read_item(line) is UNREADABLE


@pytest.mark.parametrize("kind", ITEMS)
def test_a_line_has_no_carriage_return_and_no_mark(kind: str) -> None:
    # protocol.md 4: lines end at 0x0A alone; no BOM, no \r.
    line = write_line(ITEMS[kind])
    assert read_item(line + b"\r") is UNREADABLE
    assert read_item(b"\r" + line) is UNREADABLE
    assert read_item(b"\xef\xbb\xbf" + line) is UNREADABLE


def padded(line: bytes, length: int) -> bytes:
    return line[:-1] + b" " * (length - len(line)) + b"}"


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("transfer.prepare", 2 * 1024),
        ("transfer.accept", 2 * 1024),
        ("transfer.offer", 12 * 1024),
        ("transfer.answer", 12 * 1024),
        ("mirror", 16 * 1024),
        ("decision directory", 16 * 1024),
    ],
)
def test_an_item_has_a_length_limit(kind: str, most: int) -> None:
    line = write_line(ITEMS[kind])
    assert len(padded(line, most)) == most
    assert read_item(padded(line, most)) == ITEMS[kind]
    assert read_item(padded(line, most + 1)) is UNREADABLE


def test_an_unknown_item_has_a_length_limit() -> None:
    assert read_item(padded(b'{"type":"later"}', 16 * 1024)) is UNKNOWN_TYPE
    assert read_item(padded(b'{"type":"later"}', 16 * 1024 + 1)) is UNREADABLE


@pytest.mark.parametrize(
    "at",
    [
        "2026-02-30T00:00:00.000Z",
        "2026-02-29T00:00:00.000Z",
        "0000-01-01T00:00:00.000Z",
        "2026-11-23T02:59:01Z",
        "2026-11-23T02:59:01.123Z\n",
        "2026-11-23T02:59:60.123Z",
        "2026-11-23T02:59:01.123+00:00",
        0,
    ],
)
def test_a_time_of_no_calendar_is_unreadable(at: object) -> None:
    assert read_item(changed(prepare(), decide_by=at)) is UNREADABLE
    assert read_item(changed(ITEMS["decision log"], at=at)) is UNREADABLE
    assert read_item(changed(ITEMS["decision transfer"], at=at)) is UNREADABLE


def test_a_leap_day_is_readable() -> None:
    leap = "2028-02-29T00:00:00.000Z"
    assert read_item(changed(prepare(), decide_by=leap)) == prepare(decide_by=leap)


@pytest.mark.parametrize(
    "group", ["Oostende", "o", "x" * 33, "oostende\n", "öostende", "-a", ""]
)
def test_a_name_in_another_spelling_is_unreadable(group: str) -> None:
    assert read_item(changed(prepare(), payer_group=group)) is UNREADABLE


@pytest.mark.parametrize(
    "text",
    [
        "0F0F0F0F-1E1E-8D2D-9C3C-4B4B4B4B4B4B",
        "0f0f0f0f1e1e8d2d9c3c4b4b4b4b4b4b",
        "{0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b}",
        "0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b\n",
    ],
)
def test_an_id_in_another_spelling_is_unreadable(text: str) -> None:
    assert read_item(changed(prepare(), id=text)) is UNREADABLE


def test_a_hash_in_another_spelling_is_unreadable() -> None:
    good = hash_of("content")
    last = good[-1]
    following = chr(ord(last) + 1)
    for other in (
        good[:-1],
        good + "A",
        good + "=",
        good[:-1] + following,
        good + "\n",
    ):
        assert read_item(changed(prepare(), content=other)) is UNREADABLE


def test_a_path_has_at_most_ten_steps() -> None:
    # 1,000 items: ten levels.
    ten = [hash_of("step")] * 10
    assert not isinstance(
        read_item(changed(ITEMS["transfer.offer"], path=ten)), ItemRefusalCode
    )
    eleven = [*ten, hash_of("step")]
    assert read_item(changed(ITEMS["transfer.offer"], path=eleven)) is UNREADABLE


@pytest.mark.parametrize("wrong", [-1, 2**53, 10**26, "180000", None])
def test_milliseconds_are_a_number(wrong: object) -> None:
    assert read_item(changed(prepare(), milliseconds=wrong)) is UNREADABLE


def test_an_amount_out_of_range_is_the_hubs_to_refuse() -> None:
    # It is readable, so the payer gets a code and not a broken transfer.
    for amount in (0, 10**14 + 1):
        assert read_item(changed(prepare(), milliseconds=amount)) == prepare(
            milliseconds=amount
        )


@pytest.mark.parametrize("code", RefusalCode)
def test_every_refusal_code_travels(code: RefusalCode) -> None:
    refuse = messages.TransferRefuse(id=prepare().id, prepare=hash_of("p"), code=code)
    assert read_item(write_line(refuse)) == refuse


def test_an_unknown_refusal_code_is_unreadable() -> None:
    assert read_item(changed(ITEMS["transfer.refuse"], code="no")) is UNREADABLE


def content(**changes: Any) -> bytes:
    fields = {
        "payer": "marie",
        "payee": "0042",
        "name": "Marie",
        "memo": "two loaves\u2028and a pie",
        "payee_amount": 1,
        "payer_amount": 3,
        "salt": "A" * 22,
    }
    return json.dumps(fields | changes).encode()


def is_content(line: bytes) -> bool:
    try:
        messages.content_decoder.decode(line)
    except msgspec.ValidationError:
        return False
    return True


def test_a_contents_amounts_have_limits_on_both_sides() -> None:
    for name in ("payee_amount", "payer_amount"):
        assert is_content(content(**{name: 1}))
        assert is_content(content(**{name: 10**12}))
        assert not is_content(content(**{name: 0}))
        assert not is_content(content(**{name: 10**12 + 1}))
        assert not is_content(content(**{name: 1.0}))
        assert not is_content(content(**{name: True}))


def test_a_salt_is_sixteen_bytes_in_one_spelling() -> None:
    assert is_content(content(salt="A" * 21 + "w"))
    for other in ("A" * 21 + "B", "A" * 21, "A" * 23, "A" * 22 + "="):
        assert not is_content(content(salt=other))


def test_a_line_stays_one_line_whatever_its_text() -> None:
    line = write_line(
        messages.Content(
            payer="marie",
            payee="0042",
            name="Marie",
            memo="one\ntwo\r\u2028\u0085three",
            payee_amount=1,
            payer_amount=3,
            salt="A" * 22,
        )
    )
    assert b"\n" not in line
    assert b"\r" not in line
    assert messages.content_decoder.decode(line).memo == "one\ntwo\r\u2028\u0085three"


def test_the_hash_of_a_line_is_of_its_exact_bytes() -> None:
    assert messages.line_hash(b"") == messages.NOTHING_HASH
    line = write_line(prepare())
    assert messages.line_hash(line) != messages.line_hash(line + b" ")
    assert AT.encode() in line
