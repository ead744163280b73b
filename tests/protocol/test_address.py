import unicodedata
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.address import (
    AccountName,
    FederationId,
    Group,
    federation_id,
    read_account,
    read_address,
    read_display_name,
    read_federation,
    read_group,
    read_idempotency_key,
    read_memo,
    read_reason,
    transfer_id,
    write_address,
)
from protocol.errors import MalformedMessageError
from protocol.keyring import key_hash
from tests.protocol.makers import FEDERATION, signing_key

CYRILLIC_A = "\u0430"
BIDIRECTIONAL = (
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


@pytest.mark.parametrize("name", ["ab", "oostende", "a-1", "x" * 32, "hub2", "hubs"])
def test_a_groups_name_is_read(name: str) -> None:
    assert read_group(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "x" * 33,
        "hub",
        "1a",
        "-a",
        "Oostende",
        "oost ende",
        "oost_ende",
        "oost.ende",
        "oostende\n",
        "\noostende",
        "oostende\0",
        f"m{CYRILLIC_A}chelen",
        "\uff4fostende",
        "oostende\u200b",
        "gent٢",
        "cafe\u0301",
    ],
)
def test_another_groups_name_is_refused(name: str) -> None:
    with pytest.raises(MalformedMessageError, match=r"^group: cannot read"):
        read_group(name)


@pytest.mark.parametrize("name", ["1", "marie", "0042", "a.b_c-d", "9" * 32, "hub"])
def test_an_accounts_name_is_read(name: str) -> None:
    assert read_account(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "9" * 33,
        ".a",
        "_a",
        "-a",
        "Marie",
        "a@b",
        "marie\n",
        "m\u0430rie",
        "1/2",
        "é",
    ],
)
def test_another_accounts_name_is_refused(name: str) -> None:
    with pytest.raises(MalformedMessageError, match=r"^account: cannot read"):
        read_account(name)


def test_an_address_comes_back_as_it_was_written() -> None:
    assert read_address("marie@mechelen") == ("marie", "mechelen")
    written = write_address(AccountName("marie"), Group("mechelen"))
    assert written == "marie@mechelen"


@pytest.mark.parametrize(
    "text", ["marie", "marie@", "@mechelen", "a@b@cc", "marie@hub", "marie@mechelen\n"]
)
def test_another_address_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        read_address(text)


def test_a_federation_is_named_by_its_slug_and_its_root_key() -> None:
    root = signing_key("the root").public
    whole = federation_id(Group("lets-belgium"), key_hash(root))
    assert whole == FEDERATION == read_federation(whole)
    assert len(whole) == len("lets-belgium#") + 43


@pytest.mark.parametrize(
    "text",
    [
        "lets",
        "lets#" + "A" * 42,
        "lets#" + "A" * 44,
        "lets#" + "A" * 43 + "\n",
        "Lets#" + "A" * 43,
        "lets#" + "A" * 42 + "=",
        "lets#" + "A" * 42 + "+",
    ],
)
def test_another_federation_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        read_federation(text)


def test_a_federation_has_one_spelling() -> None:
    # The last of 43 letters carries four bits; the two below it must be zero.
    assert read_federation("lets#" + "A" * 42 + "A")
    with pytest.raises(MalformedMessageError):
        read_federation("lets#" + "A" * 42 + "B")


INVISIBLE = [
    *("\u00ad", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\U000e0041"),
    *("\u034f", "\u17b4", "\u17b5", "\u180b", "\u180d", "\u180f"),
    *("\ufe00", "\ufe0f", "\U000e0100", "\U000e01ef"),
    *("\u115f", "\u1160", "\u3164", "\uffa0", "\u2800"),
    *("\ue000", "\uf8ff", "\U00100000", "\u0378", "\ufdd0", "\U0001ffff"),
]


@pytest.mark.parametrize(
    "text",
    [
        "Zoë",
        "李明",
        "Marie 🌻",
        "x" * 80,
        "O'Neill & co",
        "ক্ষমা",
        "한글",
        "⠍",
        "❤",
    ],
)
def test_a_name_for_people_may_be_anyones(text: str) -> None:
    assert read_display_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x" * 81,
        "a\nb",
        "a\tb",
        "a\0b",
        "a\x7fb",
        "a\u0085b",
        "a\u2028b",
        "a\u2029b",
        "a\ud800b",
        "Zoe\u0308",
        *(f"a{mark}b" for mark in BIDIRECTIONAL),
        # Invisible, joining, for private use, not assigned.
        *(f"a{mark}b" for mark in INVISIBLE),
        *INVISIBLE,
    ],
)
def test_a_name_that_hides_something_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError, match=r"^name: "):
        read_display_name(text)


def test_a_memo_may_have_lines_but_nothing_hidden() -> None:
    assert read_memo("") == ""
    assert read_memo("two\nlines") == "two\nlines"
    for hidden in ("\r", "\t", "\0", "\u0085", "\u2028", *BIDIRECTIONAL):
        with pytest.raises(MalformedMessageError):
            read_memo(f"a{hidden}b")
    with pytest.raises(MalformedMessageError):
        read_memo("Zoe\u0308")


@pytest.mark.parametrize("read", [read_memo, read_reason])
def test_a_hidden_character_is_named_and_nothing_around_it(
    read: Callable[[str], str],
) -> None:
    with pytest.raises(MalformedMessageError) as raised:
        read("secret\nof\0us")
    assert "U+0000 as character 10" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_memo_has_at_most_500_characters() -> None:
    assert read_memo("x" * 500)
    with pytest.raises(MalformedMessageError):
        read_memo("x" * 501)


def test_a_memo_has_at_most_2000_bytes() -> None:
    assert len(read_memo("🌻" * 500).encode()) == 2000  # so 500 characters always fit


def test_a_refused_memo_is_never_repeated() -> None:
    with pytest.raises(MalformedMessageError) as refused:
        read_memo("for the secret \u202e" * 40)
    assert "secret" not in str(refused.value)


@given(st.text(max_size=90))
def test_what_is_read_as_a_name_is_normal_and_visible(text: str) -> None:
    try:
        name = read_display_name(text)
    except MalformedMessageError:
        return
    assert name == unicodedata.normalize("NFC", name)
    hidden = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
    assert not hidden & {unicodedata.category(character) for character in name}


def test_an_idempotency_key_has_1_to_200_visible_characters() -> None:
    assert read_idempotency_key("!")
    assert read_idempotency_key("~" * 200)
    for other in ("", "~" * 201, "a b", "a\n", "é", "a\x7f"):
        with pytest.raises(MalformedMessageError):
            read_idempotency_key(other)


def test_a_transfer_id_is_a_uuid_of_version_8() -> None:
    text = transfer_id(FEDERATION, "marie@oostende", "order-1")
    found = uuid.UUID(text)
    assert str(found) == text
    assert found.version == 8
    assert found.variant == uuid.RFC_4122


def test_a_retry_is_the_same_transfer() -> None:
    assert transfer_id(FEDERATION, "marie@oostende", "order-1") == transfer_id(
        FEDERATION, "marie@oostende", "order-1"
    )


def test_a_transfer_id_depends_on_each_of_its_three_parts() -> None:
    found = {
        transfer_id(FEDERATION, "marie@oostende", "order-1"),
        transfer_id(FederationId(FEDERATION + "x"), "marie@oostende", "order-1"),
        transfer_id(FEDERATION, "marie@mechelen", "order-1"),
        transfer_id(FEDERATION, "marie@oostende", "order-2"),
        # The border between two parts is signed for too.
        transfer_id(FEDERATION, "marie@oostende1", "order-"),
    }
    assert len(found) == 5
