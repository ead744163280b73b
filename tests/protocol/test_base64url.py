import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.base64url import read_base64url, write_base64url
from protocol.errors import MalformedMessageError

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=80))
def test_bytes_come_back_from_text(octets: bytes) -> None:
    text = write_base64url(octets)
    assert "=" not in text
    assert read_base64url(text, "x") == octets == read_base64url(text.encode(), "x")


@pytest.mark.parametrize("length", [1, 2, 4, 5, 8, 16, 32, 64])
def test_stray_last_bits_are_refused(length: int) -> None:
    text = write_base64url(b"\xa5" * length)
    good = [text[:-1] + last for last in ALPHABET]
    read = []
    for other in good:
        try:
            read.append(read_base64url(other, "x"))
        except MalformedMessageError:
            continue
    # 8 bits a byte and 6 a letter: the last letter carries 2 or 4 of them.
    assert len(read) == len(set(read)) == {1: 4, 2: 16, 0: 64}[length % 3]


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AAAAA",
        "AA==",
        "AA=",
        "=",
        "AA\n",
        " AA",
        "A A",
        "AA+_",
        "AA/_",
        "AAé",
        "AA\0A",
        "\uff21\uff21",
        "AAAA====",
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError, match=r"^x: cannot read"):
        read_base64url(text, "x")


@given(st.text(alphabet=ALPHABET + "=+/ \n.é", max_size=12))
def test_whatever_is_read_is_written_the_same(text: str) -> None:
    try:
        octets = read_base64url(text, "x")
    except MalformedMessageError:
        return
    assert write_base64url(octets) == text
    assert base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) == octets
