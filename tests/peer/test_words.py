"""Every refusal has three different sentences."""

import pytest

from protocol.errors import (
    AskRefusalCode,
    DirectoryRefusalCode,
    InquiryRefusalCode,
    ItemRefusalCode,
    OrderRefusalCode,
    RefusalCode,
    ServerRefusalCode,
    TreasurerRefusalCode,
)
from protocol.peer.web.words import (
    LANGUAGES,
    Language,
    alarm,
    alarm_kinds,
    page,
    preferred,
    refusal,
)

EVERY_CODE = [
    *RefusalCode,
    *ItemRefusalCode,
    *OrderRefusalCode,
    *AskRefusalCode,
    *InquiryRefusalCode,
    *TreasurerRefusalCode,
    *DirectoryRefusalCode,
    *ServerRefusalCode,
]


@pytest.mark.parametrize("code", EVERY_CODE)
def test_every_refusal_says_what_to_do_in_three_languages(code: str) -> None:
    sentences = {refusal(code, language) for language in LANGUAGES}
    assert len(sentences) == 3
    for sentence in sentences:
        assert sentence.endswith(".")
        assert len(sentence) > 30
        assert code not in sentence.split()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_treasurer_is_told_which_account(language: Language) -> None:
    told = refusal(TreasurerRefusalCode.MEMBER_FLOOR, language, {"account": "marie"})
    assert " marie " in f" {told}"
    assert "{" not in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_regional_admin_is_told_which_group_and_proposal(
    language: Language,
) -> None:
    values = {"group": "oostende", "proposal": 17}
    told = refusal(DirectoryRefusalCode.NO_SUCH_PROPOSAL, language, values)
    assert " 17 " in told and " oostende " in told
    assert "{" not in told


def test_a_page_stands_in_three_languages() -> None:
    assert len({page("ask", language) for language in LANGUAGES}) == 3


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("nl-BE,nl;q=0.9,en;q=0.5", "nl"),
        ("fr;q=0.4, nl;q=0.8", "nl"),
        ("de, fr-BE;q=0.7", "fr"),
        ("de", "en"),
        ("", "en"),
        ("nl;q=nonsense, fr;q=0.1", "fr"),
        ("nl;q=nan, fr;q=0.1", "fr"),
    ],
)
def test_the_reader_gets_the_language_she_likes_best(
    asked: str, language: Language
) -> None:
    assert preferred(asked) == language


def test_every_kind_of_alarm_says_what_to_do_in_three_languages() -> None:
    kinds = alarm_kinds("en")
    assert kinds == alarm_kinds("nl") == alarm_kinds("fr")
    for kind in kinds:
        sentences = {alarm(kind, language) for language in LANGUAGES}
        assert len(sentences) == 3
        assert all(one.endswith(".") and len(one) > 30 for one in sentences)


def test_a_kind_without_a_sentence_has_the_common_one() -> None:
    assert alarm("weather", "nl") == alarm("other", "nl")
