"""Every refusal has three different sentences."""

import pathlib
import re

import pytest

from protocol.errors import (
    AskRefusalCode,
    CycleRefusalCode,
    DirectoryRefusalCode,
    InquiryRefusalCode,
    ItemRefusalCode,
    OrderRefusalCode,
    RefusalCode,
    ServerRefusalCode,
    SharingRefusalCode,
    TreasurerRefusalCode,
)
from protocol.peer.web.words import (
    LANGUAGES,
    Language,
    alarm,
    alarm_kinds,
    preferred,
    refusal,
    say,
    sentences,
)

ROOT = pathlib.Path(__file__).parents[2]

EVERY_CODE = [
    *RefusalCode,
    *ItemRefusalCode,
    *OrderRefusalCode,
    *AskRefusalCode,
    *InquiryRefusalCode,
    *TreasurerRefusalCode,
    *CycleRefusalCode,
    *DirectoryRefusalCode,
    *ServerRefusalCode,
    *SharingRefusalCode,
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


def test_pages_say_the_same_things_in_three_languages() -> None:
    keys = [set(sentences(language)) for language in LANGUAGES]
    assert keys[0] == keys[1] == keys[2]
    for key in keys[0]:
        told = [sentences(language)[key] for language in LANGUAGES]
        assert all(one.strip() == one and one for one in told), key
        assert len(set(told)) == 3, key
        named = [set(re.findall(r"{[a-z_]+}", one)) for one in told]
        assert named[0] == named[1] == named[2], key


#: What only those who keep servers know; their own pages may say it.
JARGON = re.compile(
    r"\b(hub|node|session|token|cookie|api|transfer|ledger|http|html|json|url|server"
    r"|error|transaction|knoop|sessie|grootboek|serveur|jeton|nœud|erreur)",
    re.IGNORECASE,
)


#: Whoever runs a group or the hub knows their words.
FOR_STAFF = (
    *("treasurer.", "hub.", "positions.", "group.", "invite.", "flows."),
    *("transfers.", "transfer.", "links.", "alarms."),
    *("own-cycles.", "own-legs.", "own-leaving.", "own-shares.", "own-keys."),
    *("proof.", "warning."),
    *("cycles.", "cycle.", "netting.", "close.", "dispute.", "settle."),
    *("caps.", "sharing.", "charge.", "life."),
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_members_read_no_jargon(language: Language) -> None:
    for key, sentence in sentences(language).items():
        if not key.startswith(FOR_STAFF):
            assert not JARGON.search(sentence), key


def said_in_templates() -> set[str]:
    templates = [
        path
        for name in ("protocol", "nodes", "clearing")
        for path in (ROOT / name).rglob("templates/*.html")
    ]
    assert len(templates) > 10
    return {
        key
        for path in templates
        for key in re.findall(r"""say\(["']([a-z0-9.-]+)["'][,)]""", path.read_text())
    }


def test_whatever_a_page_says_has_its_sentence() -> None:
    assert said_in_templates() <= set(sentences("en"))


def test_no_sentence_is_left_that_no_page_says() -> None:
    sources = "".join(
        path.read_text()
        for name in ("protocol", "nodes", "clearing")
        for path in (*(ROOT / name).rglob("*.py"), *(ROOT / name).rglob("*.html"))
    )
    # Some keys are put together, as "step." and the name of a step.
    together = (
        "problem.",
        "step.",
        "menu.",
        "pay.amount-",
        "account.",
        "profile.by-",
        "pay.no",
        "confirm.",
        "pay.idempotency",
        "pay.memo-long",
        "treasurer.",
        "acts.",
        "group.hours-",
        "group.",
        "consents.",
        "positions.near-",
        "limits.reached-",
        "limits.trend-",
        "transfers.age-",
        "transfer.",
        "links.",
        "own-cycles.",
        "own-legs.",
        "own-leaving.",
        "own-shares.",
        "own-keys.",
        "proof.word-",
        "cycle.said-",
        "cycle.saved-",
        "netting.gross",
        "netting.bilateral",
        "netting.multilateral",
        "netting.novation",
        "dispute.hub",
        "dispute.group",
        "dispute.nothing-",
        "settle.state-",
        "caps.saved-",
        "sharing.rule-",
        "sharing.state-",
        "sharing.saved-",
        "sharing.measure-",
        "life.",
    )
    for key in sentences("en"):
        assert key in sources or key.startswith(together), key


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


def test_no_line_of_french_begins_with_a_question_mark() -> None:
    assert say("pay.to", "nl", {}) == sentences("nl")["pay.to"]
    for key in ("pay.memo", "confirm.title", "kit.copied"):
        told = say(key, "fr", {})
        assert told.replace("\u00a0", " ") == sentences("fr")[key]
    assert say("confirm.title", "fr", {}).endswith("\u00a0?")
    # What somebody has typed stays as it is.
    assert say("members.back", "fr", {"name": "Jo ?"}).endswith("Jo ?")


def test_every_kind_of_alarm_says_what_to_do_in_three_languages() -> None:
    kinds = alarm_kinds("en")
    assert kinds == alarm_kinds("nl") == alarm_kinds("fr")
    for kind in kinds:
        sentences = {alarm(kind, language) for language in LANGUAGES}
        assert len(sentences) == 3
        assert all(one.endswith(".") and len(one) > 30 for one in sentences)


def test_a_kind_without_a_sentence_has_the_common_one() -> None:
    assert alarm("weather", "nl") == alarm("other", "nl")
