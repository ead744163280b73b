"""Figures as people write and read them, compared with Babel where it is there."""

from datetime import UTC, datetime
from decimal import Decimal  # noqa: TID251  what Babel takes
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.instant import Instant, write_instant
from protocol.peer.web.figures import AmountFault, Figures, read_amount
from protocol.peer.web.units import UnitAnswer
from protocol.peer.web.words import LANGUAGES, Language
from protocol.unit import AMOUNT_MAX

LOCALES: dict[Language, str] = {"nl": "nl_BE", "fr": "fr_BE", "en": "en"}
BRUSSELS = ZoneInfo("Europe/Brussels")
HOUR = 3_600_000
GARNAAL = UnitAnswer("garnaal", "garnalen", "g", 0)
HEURE = UnitAnswer("heure", "heures", "h", 1)

languages = st.sampled_from(LANGUAGES)
amounts = st.integers(-AMOUNT_MAX, AMOUNT_MAX)
#: Milliseconds from 1970 to 2100.
instants = st.integers(0, 4_102_444_800_000).map(Instant)


def figures(language: Language) -> Figures:
    return Figures(language, BRUSSELS)


@pytest.fixture(scope="module")
def numbers() -> ModuleType:
    return pytest.importorskip("babel.numbers", reason="Babel is not installed")


@pytest.fixture(scope="module")
def dates() -> ModuleType:
    return pytest.importorskip("babel.dates", reason="Babel is not installed")


def test_numbers_are_written_as_cldr_says(numbers: ModuleType) -> None:
    @given(languages, amounts, st.integers(0, 2))
    def same(language: Language, amount: int, decimals: int) -> None:
        pattern = "#,##0" + (f".{'0' * decimals}" if decimals else "")
        value = Decimal(amount).scaleb(-decimals)
        expected = numbers.format_decimal(
            value, format=pattern, locale=LOCALES[language]
        )
        assert figures(language).number(amount, decimals) == expected

    same()


def test_dates_are_written_as_cldr_says(dates: ModuleType) -> None:
    @given(languages, instants)
    def same(language: Language, at: Instant) -> None:
        when = datetime.fromtimestamp(at // 1000, UTC)
        expected = dates.format_datetime(
            when, "d MMM y HH:mm", tzinfo=BRUSSELS, locale=LOCALES[language]
        )
        assert figures(language).moment(at) == expected
        assert figures(language).moment(write_instant(at)) == expected

    same()


@pytest.mark.parametrize(
    ("language", "amount", "unit", "written"),
    [
        ("nl", 1, GARNAAL, "1\u00a0garnaal"),
        ("nl", -1, GARNAAL, "-1\u00a0garnaal"),
        ("nl", 0, GARNAAL, "0\u00a0garnalen"),
        ("nl", 1250, GARNAAL, "1.250\u00a0garnalen"),
        ("en", 2, GARNAAL, "2\u00a0garnalen"),
        # French has one below two, and a unit with decimals is never one elsewhere.
        ("fr", 0, HEURE, "0,0\u00a0heure"),
        ("fr", 19, HEURE, "1,9\u00a0heure"),
        ("fr", 20, HEURE, "2,0\u00a0heures"),
        ("nl", 10, HEURE, "1,0\u00a0heures"),
    ],
)
def test_a_unit_is_one_or_many(
    language: Language, amount: int, unit: UnitAnswer, written: str
) -> None:
    assert figures(language).amount(amount, unit) == written


@pytest.mark.parametrize(
    ("language", "milliseconds", "written"),
    [
        ("nl", 0, "0 min"),
        ("nl", HOUR + HOUR // 2, "1 u 30 min"),
        ("fr", -2 * HOUR, "-2 h"),
        ("en", 180_000, "3 min"),
        ("en", 1_000, "1 s"),
        # A seventh of an hour is 8 minutes and 34.2857 seconds.
        ("en", 514_286, "± 8 min 34 s"),
        ("en", 499, "± 0 min"),
        ("en", -500, "± -1 s"),
        ("en", HOUR - 1, "± 1 h"),
        ("nl", 1234 * HOUR, "1.234 u"),
    ],
)
def test_time_is_written_in_hours_and_minutes(
    language: Language, milliseconds: int, written: str
) -> None:
    assert figures(language).hours(milliseconds).replace("\u00a0", " ") == written


@given(languages, st.integers(1, AMOUNT_MAX), st.integers(0, 2))
def test_what_we_write_we_read(language: Language, amount: int, decimals: int) -> None:
    written = figures(language)
    # Grouped numbers with decimals, and plain ones, as a form shows them again.
    assert read_amount(written.number(amount, decimals), decimals, language) == amount
    assert read_amount(written.plain(amount, decimals), decimals, language) == amount


@given(st.text(max_size=50), languages, st.integers(0, 2))
def test_whatever_is_typed_is_an_amount_or_a_fault(
    typed: str, language: Language, decimals: int
) -> None:
    found = read_amount(typed, decimals, language)
    assert isinstance(found, AmountFault) or 1 <= found <= AMOUNT_MAX


EVERYWHERE = [
    ("12", 0, 12),
    (" 12 ", 0, 12),
    ("+12", 0, 12),
    ("1 000", 0, 1000),
    ("1\u202f000", 0, 1000),
    ("1\u00a0000\u00a0000", 0, 1_000_000),
    ("2,5", 1, 25),
    ("2.5", 1, 25),
    ("2,50", 1, 25),
    ("3,0", 0, 3),
    ("1.000,5", 1, 10_005),
    ("1,000.5", 1, 10_005),
    ("1.000.000", 0, 1_000_000),
    ("2,5", 0, AmountFault.NO_PARTS),
    ("2.55", 1, AmountFault.TOO_FINE),
    ("", 0, AmountFault.MISSING),
    ("   ", 0, AmountFault.MISSING),
    ("0", 0, AmountFault.NOT_POSITIVE),
    ("0,00", 2, AmountFault.NOT_POSITIVE),
    ("-3", 0, AmountFault.NOT_POSITIVE),
    ("\u22123", 0, AmountFault.NOT_POSITIVE),
    ("twaalf", 0, AmountFault.NO_NUMBER),
    ("1e3", 0, AmountFault.NO_NUMBER),
    ("12 34", 0, AmountFault.NO_NUMBER),
    ("1,2,3", 0, AmountFault.NO_NUMBER),
    ("1..5", 1, AmountFault.NO_NUMBER),
    ("5.", 1, AmountFault.NO_NUMBER),
    (",5", 1, AmountFault.NO_NUMBER),
    ("\u0661\u0662", 0, AmountFault.NO_NUMBER),
    ("1" + "0" * 12, 0, AMOUNT_MAX),
    ("1" + "0" * 11 + "1", 0, AmountFault.TOO_LARGE),
    ("9" * 41, 0, AmountFault.NO_NUMBER),
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("typed", "decimals", "read"), EVERYWHERE)
def test_amounts_are_read_as_people_type_them(
    language: Language, typed: str, decimals: int, read: int | AmountFault
) -> None:
    assert read_amount(typed, decimals, language) == read


@pytest.mark.parametrize(
    ("language", "typed", "read"),
    [
        ("nl", "1.000", 1000),
        ("fr", "1.000", 1000),
        ("en", "1,000", 1000),
        ("nl", "1,000", AmountFault.TWO_WAYS),
        ("fr", "1,000", AmountFault.TWO_WAYS),
        ("en", "1.000", AmountFault.TWO_WAYS),
    ],
)
def test_what_has_two_readings_is_never_guessed(
    language: Language, typed: str, read: int | AmountFault
) -> None:
    for decimals in (0, 1, 2):
        expected = read if isinstance(read, AmountFault) else read * 10**decimals
        assert read_amount(typed, decimals, language) == expected
