"""An ask that its group signed is opened by all, and no other text is."""

import json  # noqa: TID251 - another writer than ours
from typing import Any

import msgspec
import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from protocol import ask, jws, strict_json
from protocol.address import FederationId, Group, federation_id
from protocol.base64url import write_base64url
from protocol.directory import Directory
from protocol.errors import AskRefusalCode, MalformedMessageError
from protocol.instant import Instant, read_instant, write_instant
from protocol.keyring import SigningKey, key_hash
from tests.peer.makers import directory_of, entry_of
from tests.protocol.makers import (
    AT,
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    asked,
    signing_key,
)

NOW = read_instant(AT)
DAY_MS = 86_400_000
DIRECTORY = directory_of()
KEY = signing_key("mechelen")
#: The longest that an address in settings may reasonably be.
LONGEST_URL = "https://" + "m" * 63 + "." + "e" * 63 + ".example.org:65535"


def opened(
    text: str, now: int = NOW, directory: Directory = DIRECTORY
) -> ask.Ask | AskRefusalCode:
    return ask.read_ask(text, FEDERATION, directory, Instant(now))


def signed(payload: bytes, key: SigningKey = KEY) -> str:
    """Sign whatever a test wants to have been signed."""
    return jws.sign(payload, key, ask.ASK_TYP)


def signed_with(**changes: Any) -> str:
    return signed(strict_json.write(asked(**changes)))


def test_an_ask_is_opened_as_it_was_written() -> None:
    text = ask.write_ask(asked(), KEY)
    assert opened(text) == asked()
    link = ask.write_link("https://mechelen.example.org", text)
    assert link == f"https://mechelen.example.org/ask#{text}"
    assert opened(link) == asked()
    assert opened(f"  {link}\n") == asked()


def test_an_ask_without_amount_lets_the_payer_choose() -> None:
    assert opened(ask.write_ask(asked(amount=None), KEY)) == asked(amount=None)


def test_every_changed_bit_of_it_is_refused() -> None:
    text = ask.write_ask(asked(), KEY).encode()
    for bit in range(8 * len(text)):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        found = opened(changed.decode("latin-1"))
        assert isinstance(found, AskRefusalCode), (bit, found)


def test_every_changed_byte_of_what_was_signed_is_refused() -> None:
    # Wrapped anew around the old signature, so that the JWS itself is in good form.
    parts = jws.split(ask.write_ask(asked(), KEY), ask.ASK_TYP)
    head, _, _ = ask.write_ask(asked(), KEY).split(".")
    for place in range(len(parts.payload)):
        for letter in (b"0", b"x", b'"', b" "):
            payload = parts.payload[:place] + letter + parts.payload[place + 1 :]
            if payload == parts.payload:
                continue
            body = write_base64url(payload)
            signature = write_base64url(parts.signature)
            found = opened(f"{head}.{body}.{signature}")
            assert isinstance(found, AskRefusalCode), (place, letter)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"federation": federation_id(Group("lets-belgium"), key_hash(KEY.public))},
         AskRefusalCode.OTHER_FEDERATION),
        ({"federation": FEDERATION.replace("belgium", "france")},
         AskRefusalCode.OTHER_FEDERATION),
        ({"group": "gent"}, AskRefusalCode.UNKNOWN_GROUP),
        ({"group": "hub"}, AskRefusalCode.UNKNOWN_GROUP),
        ({"group": OOSTENDE}, AskRefusalCode.NOT_SIGNED),
    ],
)  # fmt: skip
def test_an_ask_counts_in_its_own_federation_for_its_own_group(
    fields: dict[str, Any], code: AskRefusalCode
) -> None:
    assert opened(signed_with(**fields)) is code


@pytest.mark.parametrize("whose", ["oostende", "hub", "the root", "mechelen recovery"])
def test_a_key_that_is_not_the_groups_signs_nothing(whose: str) -> None:
    payload = strict_json.write(asked())
    assert opened(signed(payload, signing_key(whose))) is AskRefusalCode.NOT_SIGNED


def test_another_keys_signature_under_the_groups_kid_is_refused() -> None:
    payload = strict_json.write(asked())
    head = write_base64url(jws.header(KEY.kid, ask.ASK_TYP))
    signing_input = f"{head}.{write_base64url(payload)}"
    other = signing_key("oostende").sign(signing_input.encode())
    text = f"{signing_input}.{write_base64url(other)}"
    assert opened(text) is AskRefusalCode.NOT_SIGNED


def test_an_ask_under_a_key_that_the_group_has_replaced_does_not_count() -> None:
    entry = entry_of(MECHELEN, keys_of="mechelen, later")
    record = msgspec.structs.replace(DIRECTORY[MECHELEN], entry=entry)
    later = {**DIRECTORY, MECHELEN: record}
    assert opened(signed_with(), directory=later) is AskRefusalCode.NOT_SIGNED


@pytest.mark.parametrize("typ", ["interlets-entry", "interlets-envelope"])
def test_what_was_signed_as_something_else_is_no_ask(typ: str) -> None:
    text = jws.sign(strict_json.write(asked()), KEY, typ)
    assert opened(text) is AskRefusalCode.UNREADABLE


def test_an_ask_counts_until_its_last_millisecond() -> None:
    text = signed_with(until=write_instant(Instant(NOW + DAY_MS)))
    assert isinstance(opened(text, NOW + DAY_MS - 1), ask.Ask)
    assert opened(text, NOW + DAY_MS) is AskRefusalCode.EXPIRED


def test_an_ask_may_come_from_a_clock_five_minutes_ahead() -> None:
    latest = write_instant(Instant(NOW + 300_000))
    beyond = write_instant(Instant(NOW + 300_001))
    assert isinstance(opened(signed_with(at=latest)), ask.Ask)
    assert opened(signed_with(at=beyond)) is AskRefusalCode.UNREADABLE
    assert isinstance(opened(signed_with(at=beyond), NOW + 1), ask.Ask)


def test_an_ask_lasts_ninety_days_at_most() -> None:
    longest = write_instant(Instant(NOW + 90 * DAY_MS))
    beyond = write_instant(Instant(NOW + 90 * DAY_MS + 1))
    assert isinstance(opened(signed_with(until=longest)), ask.Ask)
    assert opened(signed_with(until=beyond)) is AskRefusalCode.UNREADABLE
    assert opened(signed_with(until=AT)) is AskRefusalCode.UNREADABLE
    with pytest.raises(MalformedMessageError):
        ask.write_ask(asked(until=beyond), KEY)


def test_an_amount_counts_only_under_the_rate_it_was_asked_under() -> None:
    entries = entry_of(OOSTENDE), entry_of(MECHELEN, 60_000, 30_000)
    later = directory_of(*entries)
    found = opened(signed_with(rate=1), directory=later)
    assert found is AskRefusalCode.OUTDATED
    assert isinstance(opened(signed_with(rate=2), directory=later), ask.Ask)
    free = signed_with(rate=1, amount=None)
    assert isinstance(opened(free, directory=later), ask.Ask)


def fields_of(value: ask.Ask) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(strict_json.write(value))
    return found


WRONG: dict[str, list[object]] = {
    "v": [0, 2, "1", None, True],
    "federation": ["", "lets-belgium", f"{FEDERATION}A", f"{FEDERATION}\n", 1],
    "id": ["", "1", "0F0F0F0F-1E1E-8D2D-9C3C-4B4B4B4B4B4B", None],
    "group": ["", "Mechelen", "m", "m" * 33, "mechelen\n", None],
    "account": ["", "Bob", "-bob", "b" * 33, "bob@mechelen", None],
    "name": ["", " ", "a\u0000", "e\u0301", "a\u202eb", "n" * 81, None, 1],
    "amount": [0, -1, 10**12 + 1, 1.5, "5", True, []],
    "rate": [0, -1, None, "1"],
    "memo": [None, "\u0000", "\u202e", "e\u0301", "m" * 201, "🚲" * 151, 1],
    "at": ["", "2026-11-23", "2026-02-30T00:00:00.000Z", None, 0],
    "until": ["", "2026-11-23", "2026-02-30T00:00:00.000Z", None, 0],
}


def test_the_table_of_wrong_values_misses_no_field() -> None:
    assert list(WRONG) == list(fields_of(asked()))


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG.items() for value in values],
)
def test_a_field_that_cannot_be_so_is_refused_though_rightly_signed(
    field: str, value: object
) -> None:
    told = fields_of(asked()) | {field: value}
    text = signed(json.dumps(told, ensure_ascii=False).encode())
    assert opened(text) is AskRefusalCode.UNREADABLE


@pytest.mark.parametrize("field", WRONG)
def test_every_field_is_there_once_and_no_other_is(field: str) -> None:
    told = fields_of(asked())
    without = {name: value for name, value in told.items() if name != field}
    assert opened(signed(json.dumps(without).encode())) is AskRefusalCode.UNREADABLE
    more = json.dumps(told | {"more": 1}).encode()
    assert opened(signed(more)) is AskRefusalCode.UNREADABLE
    one = json.dumps({field: told[field]}).encode()
    twice = json.dumps(told).encode()[:-1] + b"," + one[1:]
    assert opened(signed(twice)) is AskRefusalCode.UNREADABLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#",
        "..",
        "hallo",
        "https://mechelen.example.org/ask",
        "https://mechelen.example.org/ask#",
        "https://mechelen.example.org/welcome#a.b.c",
        "\ud800",
        "é",
    ],
)
def test_what_is_no_link_is_refused(text: str) -> None:
    assert opened(text) is AskRefusalCode.UNREADABLE


@pytest.mark.parametrize(
    "before",
    ["ftp://mechelen/ask#", "https://mechelen/join#", "https:///ask#", "ask#", "#"],
)
def test_an_ask_stands_alone_or_in_a_link_of_a_node(before: str) -> None:
    text = before + ask.write_ask(asked(), KEY)
    assert opened(text) is AskRefusalCode.UNREADABLE


def test_a_text_is_too_long_by_one_letter() -> None:
    assert opened("a" * 2048) is AskRefusalCode.UNREADABLE
    assert opened("a" * 2049) is AskRefusalCode.TOO_LONG


def longest() -> ask.Ask:
    slug = Group("f" * 32)
    return asked(
        federation=federation_id(slug, key_hash(signing_key("the root").public)),
        group="g" * 32,
        account="a" * 32,
        name="🚲" * 80,
        amount=10**12,
        rate=2**53 - 1,
        memo="🚲" * 150,
    )


def test_the_longest_ask_there_can_be_is_not_too_long() -> None:
    longest_text = ask.write_ask(longest(), KEY)
    assert len(longest_text) <= ask.ASK_LENGTH_MAX
    escaped = msgspec.structs.replace(longest(), memo='\n"' * 100)
    assert len(ask.write_ask(escaped, KEY)) < len(longest_text)


@pytest.mark.parametrize(
    ("what", "version_max"),
    [
        (asked(memo="Brood"), 18),
        (asked(memo="m" * 200), 23),
        (longest(), 34),
    ],
)
def test_a_phone_can_read_its_code(what: ask.Ask, version_max: int) -> None:
    link = ask.write_link(LONGEST_URL, ask.write_ask(what, KEY))
    assert segno.make_qr(link, error="l").version <= version_max


@given(
    name=st.text(min_size=1, max_size=90),
    memo=st.text(max_size=220),
    amount=st.none() | st.integers(-1, 10**12 + 1),
    days=st.integers(-1, 91),
)
def test_whatever_a_node_signs_every_node_can_open(
    name: str, memo: str, amount: int | None, days: int
) -> None:
    made = asked(
        name=name,
        memo=memo,
        amount=amount,
        until=write_instant(Instant(NOW + days * DAY_MS)),
    )
    try:
        text = ask.write_ask(made, KEY)
    except MalformedMessageError:
        return
    is_amount = amount is None or 1 <= amount <= 10**12
    assert opened(text) == (made if is_amount else AskRefusalCode.UNREADABLE)


@given(text=st.text(max_size=3000))
def test_no_text_makes_reading_fail(text: str) -> None:
    assert isinstance(opened(text), AskRefusalCode)


def test_another_federation_with_the_same_groups_opens_nothing() -> None:
    other = FederationId(FEDERATION.replace("belgium", "france"))
    found = ask.read_ask(signed_with(), other, DIRECTORY, NOW)
    assert found is AskRefusalCode.OTHER_FEDERATION
