"""Planted bugs in how a node distrusts its hub: watch, proofs, rules.

Each lets one kind of lie through, accuses who is honest, or forgets what proves it.
Only seeds in which nodes watch the hub's log (``lie_swarm``) are hunted for them.
"""

from functools import partial
from typing import Any

import msgspec

from nodes.rules import KeepBelief, KeepCompared, KeepDistrust
from protocol.effects import CallPeople
from tests.simulator.lie_swarm import is_watched
from tests.simulator.planted import _bug
from tests.simulator.planted import _without as without

bug = partial(_bug, may_find=is_watched)
_replace = msgspec.structs.replace
_CHAIN = "nodes.watch.log_chain:LogChain"
_COMPARISON = "nodes.watch.log_comparison:Comparison"


@bug(
    "growth-unchecked",
    "A log is believed that does not continue what it was.",
    f"{_CHAIN}._check_growth",
)
def _growth_unchecked(_right: Any) -> Any:
    async def wrong(*_values: Any) -> None:
        return None

    return wrong


@bug(
    "any-leaf-will-do",
    "A decision is found in the log if any other leaf is at its place.",
    f"{_COMPARISON}._find_shown",
)
def _any_leaf(_right: Any) -> Any:
    async def wrong(self: Any, reader: Any, known: Any, shown: Any) -> None:
        numbers = {one.decision.number for one in shown}
        hashes = await reader.leaf_hashes(known.checkpoint, numbers)
        paths = await reader.paths(known.checkpoint, numbers)
        for one in shown:
            if not hashes[one.decision.number]:
                raise await self._not_there(one, known.note)
            self._note_proof(one, known, paths[one.decision.number])
            self._settle(one)

    return wrong


@bug(
    "cover-uncompared",
    "What a cover names is not compared with what the hub signed.",
    f"{_CHAIN}.follow",
)
def _cover_uncompared(right: Any) -> Any:
    async def wrong(self: Any, reader: Any, cover: Any) -> Any:
        named = cover.payload.checkpoint
        if named is not None:
            _, stated = await reader.note(named.log, named.size)
            payload = _replace(cover.payload, checkpoint=stated.short)
            cover = _replace(cover, payload=payload)
        return await right(self, reader, cover)

    return wrong


@bug(
    "waits-for-ever",
    "What is missing in the log is waited for, however long it is.",
    "nodes.watch.patience:Patience.is_over",
)
def _waits_for_ever(_right: Any) -> Any:
    return lambda *_: False


@bug(
    "no-patience",
    "What is missing in the log for one look is a lie.",
    "nodes.watch.patience:PATIENCE_S",
)
def _no_patience(_right: Any) -> Any:
    return 0.0


@bug(
    "directory-unchecked",
    "Another directory than everybody's is folded without a word.",
    f"{_CHAIN}.check_directory",
)
def _directory_unchecked(_right: Any) -> Any:
    async def wrong(*_values: Any) -> None:
        return None

    return wrong


@bug(
    "doubt-forgotten",
    "People are called, but nobody keeps what proves the lie.",
    "nodes.rules.trust:_distrust",
)
def _doubt_forgotten(right: Any) -> Any:
    return without(KeepDistrust)(right)


@bug(
    "belief-forgotten",
    "What was proved is said to be compared, and not kept.",
    "nodes.rules.trust:_believe",
)
def _belief_forgotten(right: Any) -> Any:
    return without(KeepBelief)(right)


@bug(
    "comparing-forgotten",
    "What was compared is compared again and again.",
    "nodes.rules.trust:_believe",
)
def _comparing_forgotten(right: Any) -> Any:
    return without(KeepCompared)(right)


@bug(
    "posts-without-answer",
    "A payer's node posts what the hub says is cleared, accepted or not.",
    "nodes.rules.decisions:_is_answered",
)
def _posts_without_answer(_right: Any) -> Any:
    return lambda *_: True


@bug(
    "answer-of-anybody",
    "An accept counts whoever has signed it.",
    "nodes.rules.decisions:check_proof",
    "nodes.watch.log_comparison:check_proof",
)
def _answer_of_anybody(_right: Any) -> Any:
    return lambda *_: None


@bug(
    "bare-doubt",
    "That a payment was cleared without its answer is told to nobody.",
    "nodes.rules.decisions:_doubt",
)
def _bare_doubt(right: Any) -> Any:
    return lambda transfer, text: CallPeople("transfer", "something is wrong")


@bug(
    "restated-is-enough",
    "What a log lacks was restated, as soon as any later log is known.",
    f"{_COMPARISON}._await_late",
)
def _restated(_right: Any) -> Any:
    async def wrong(self: Any, reader: Any, late: Any, known: Any, cover: Any) -> None:
        for one in late:
            self._settle(one)
        self._end_look_back(late[0].decision.log)

    return wrong


@bug(
    "leg-of-nobodys-word",
    "A leg is booked as settled, whatever we have signed.",
    "nodes.rules.legs:_why_not",
)
def _leg_of_nobodys_word(right: Any) -> Any:
    def wrong(view: Any, leg: Any, decision: Any) -> Any:
        why = right(view, leg, decision)
        is_unsigned = why in ("we have not signed for it", "not by what we signed")
        return None if is_unsigned else why

    return wrong


@bug(
    "leg-of-any-amount",
    "A leg's decision counts, whatever amount we were told.",
    "nodes.rules.cycle_records:OwnLeg.is_meant_by",
)
def _leg_of_any_amount(_right: Any) -> Any:
    return lambda *_: True


def _ignoring(words: str) -> Any:
    """Make a rule of why something is not booked forget one of its reasons."""

    def change(right: Any) -> Any:
        def wrong(*values: Any) -> Any:
            why = right(*values)
            return None if why is not None and words in why else why

        return wrong

    return change


bug(
    "shares-what-is-decided",
    "What a group leaves is shared, whatever we were told of it before.",
    "nodes.rules.shares:_why_not_debt",
)(_ignoring("not what we were told before"))

bug(
    "shares-untold",
    "What a group leaves is shared, though nobody told us before.",
    "nodes.rules.shares:_why_not_debt",
)(_ignoring("we were never told of it before"))

bug(
    "charge-by-any-limit",
    "A charge is taken that holds us against another limit than ours.",
    "nodes.rules.shares:_why_not_charge",
)(_ignoring("it holds us against"))


@bug(
    "charge-unreckoned",
    "What the hub charges is not reckoned anew.",
    "nodes.rules.shares:what_is_wrong",
)
def _unreckoned(_right: Any) -> Any:
    return lambda _decision: None


@bug(
    "agrees-by-opening",
    "A statement is agreed to if its opening is right.",
    "nodes.rules.cycles:figures_of",
)
def _agrees_with_opening(right: Any) -> Any:
    def wrong(stated: Any) -> Any:
        found = right(stated)
        return _Opening(**msgspec.structs.asdict(found))

    return wrong


class _Opening(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Figures that equal any others of the same opening."""

    opening: int
    debits: int
    credits: int
    count: int
    closing: int
    digest: str

    def __eq__(self, other: object) -> bool:
        return self.opening == getattr(other, "opening", None)

    def __hash__(self) -> int:
        return hash(self.opening)
