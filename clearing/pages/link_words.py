"""How a link stands, in one word for people; each has a sentence, ``links.…``."""

from collections.abc import Iterable

from clearing.api.links import LinkAnswer

#: What a program may wait for; everything else needs people.
_SOUND = ("compared", "comparing")


def link_words(links: Iterable[LinkAnswer]) -> dict[str, str]:
    """Say by group how its link stands; ``compared``: all is well."""
    return {one.group: _word(one) for one in links}


def _word(one: LinkAnswer) -> str:
    if one.state in _SOUND and one.is_silent:
        return "silent"
    if one.state == "compared" and one.is_lagging:
        return "lagging"
    return one.state
