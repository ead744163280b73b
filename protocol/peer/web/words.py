"""Sentences for people, in Dutch, French and English.

Chosen by ``Accept-Language`` (RFC 9110, section 12.5.4). A code without three
different sentences fails a test, so nobody meets a bare code.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

Language = Literal["nl", "fr", "en"]

LANGUAGES: tuple[Language, ...] = get_args(Language)
_FOLDER = Path(__file__).parent / "words"
_WORDS = {
    language: tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    for language in LANGUAGES
}
_PARTS_MAX = 20
#: Where a line of French may not break, though there is a space.
_FRENCH_SPACE = re.compile(r" (?=[?!:;»])|(?<=«) ")


def refusal(
    code: str, language: Language, values: Mapping[str, object] | None = None
) -> str:
    """Say why something was refused, and what to do.

    Args:
        code: of any of the enums of codes in ``protocol.errors``.
        language: the reader's.
        values: what the sentence names, such as the account that it is about; more
            than it names may be given, and what is not given is left out.
    """
    sentence = _set(_WORDS[language]["refusal"][code], language)
    return sentence.format_map(defaultdict(str, values or {}))


def say(key: str, language: Language, values: Mapping[str, object]) -> str:
    """Say what stands on a page.

    Args:
        key: table and name, as ``pay.title``.
        language: the reader's.
        values: what the sentence names, all of it.
    """
    table, _, name = key.partition(".")
    sentence = _set(_WORDS[language]["say"][table][name], language)
    return sentence.format_map(values) if values else sentence


def _set(sentence: str, language: Language) -> str:
    """Set a sentence as printers of its language do: no line begins with a "?"."""
    return _FRENCH_SPACE.sub("\u00a0", sentence) if language == "fr" else sentence


def sentences(language: Language) -> dict[str, str]:
    """Give all that pages say, by key."""
    return {
        f"{table}.{name}": sentence
        for table, named in _WORDS[language]["say"].items()
        for name, sentence in named.items()
    }


def problem(status: int, kind: str, language: Language) -> str:
    """Say on a page why it is not the one asked for."""
    named: dict[str, str] = _WORDS[language]["say"]["problem"]
    fallback = "outage" if status >= 500 else "other"
    sentence = named.get(kind) or named.get(str(status)) or named[fallback]
    return _set(sentence, language)


def alarm(about: str, language: Language) -> str:
    """Say what an alarm means and what to do.

    Args:
        about: what kind of thing it is about, as ``CallPeople`` says.
        language: the reader's.
    """
    sentences: dict[str, str] = _WORDS[language]["alarm"]
    return _set(sentences.get(about, sentences["other"]), language)


def alarm_kinds(language: Language) -> set[str]:
    """Name the kinds of alarms that have a sentence of their own, and ``other``."""
    return set(_WORDS[language]["alarm"])


def preferred(accept_language: str) -> Language:
    """Choose the language that the reader likes best; English when none of ours."""
    best, best_weight = "en", 0.0
    for part in accept_language.split(",")[:_PARTS_MAX]:
        tag, _, parameter = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(parameter.strip())
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return next(language for language in LANGUAGES if language == best)


def _weight(parameter: str) -> float:
    """Read ``q=0.8``; anything else counts as 1, and nonsense as 0."""
    name, _, value = parameter.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(float(value), 1.0)
    except ValueError:
        return 0.0
