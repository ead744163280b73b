"""Limits as a treasurer types them: how far from zero."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.pages.typed import read_digits, read_limit, write_limit
from protocol.errors import MalformedMessageError
from protocol.peer.web.figures import AmountFault, Figures
from protocol.peer.web.words import LANGUAGES, Language
from protocol.unit import AMOUNT_MAX


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("", None),
        ("  ", None),
        ("0", 0),
        ("0,00", 0),
        ("-0", 0),
        ("100", 10_000),
        ("-100", 10_000),
        ("\u2212 100", 10_000),
        ("2,5", 250),
        ("-", AmountFault.NO_NUMBER),
        (",", AmountFault.NO_NUMBER),
        ("--3", AmountFault.NOT_POSITIVE),
        ("geen", AmountFault.NO_NUMBER),
        ("0,0011", AmountFault.TOO_FINE),
        ("1.500", 150_000),
        ("1,500", AmountFault.TWO_WAYS),
        ("1" + "0" * 11, AmountFault.TOO_LARGE),
    ],
)
def test_a_limit_is_how_far_from_zero(
    typed: str, read: int | AmountFault | None
) -> None:
    assert read_limit(typed, 2, "nl") == read


@given(
    st.none() | st.integers(0, AMOUNT_MAX),
    st.integers(0, 4),
    st.sampled_from(LANGUAGES),
)
def test_what_is_shown_is_read_as_it_is(
    amount: int | None, decimals: int, language: Language
) -> None:
    figures = Figures(language, datetime.UTC)
    assert read_limit(write_limit(amount, decimals, figures), decimals, language) == (
        amount
    )


@pytest.mark.parametrize("text", ["", "-1", "1,0", "\u0661", "1" * 14, "1e3", " 1"])
def test_what_no_page_of_ours_wrote_is_no_amount(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        read_digits(text)
