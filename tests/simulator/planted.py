"""Planted bugs: small, nasty changes of the real code, made at run time.

Each is what an implementer gets wrong first. A tester that does not find one of them
is mended. A bug is a patch of one name of one module or class, for as long as a run
lasts; nothing on disk changes.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from protocol.effects import Effects, EndHold, PostEntry, SaveTransfer
from protocol.errors import RefusalCode
from protocol.ledger import HoldState
from protocol.link import Taking
from protocol.messages import line_hash
from protocol.transfer import State


class Bug(NamedTuple):
    """One planted bug.

    Attributes:
        told: what is wrong, in a sentence.
        place: module, and the name in it, dots inside classes.
        change: makes the wrong one from the right one.
        may_find: says of a seed whether it can find it at all; others are not tried.
    """

    name: str
    told: str
    places: tuple[str, ...]
    change: Callable[[Any], Any]
    may_find: Callable[[int], bool]


BUGS: dict[str, Bug] = {}
_replace = msgspec.structs.replace


def _any_seed(_seed: int) -> bool:
    return True


def _bug(
    name: str,
    told: str,
    *places: str,
    may_find: Callable[[int], bool] = _any_seed,
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def register(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
        assert name not in BUGS
        BUGS[name] = Bug(name, told, places, change, may_find)
        return change

    return register


def _find(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for one in outer:
        owner = getattr(owner, one)
    return owner, name


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a bug while this lasts; an empty name plants none."""
    if not name:
        yield
        return
    bug = BUGS[name]
    undo = []
    for place in bug.places:
        owner, attribute = _find(place)
        right = owner.__dict__[attribute]
        undo.append((owner, attribute, right))
        setattr(owner, attribute, bug.change(right))
    try:
        yield
    finally:
        for owner, attribute, right in undo:
            setattr(owner, attribute, right)


def _without(kind: type) -> Callable[[Any], Any]:
    """Make a rule forget one kind of effect."""

    def change(right: Any) -> Any:
        def wrong(*values: Any, **named: Any) -> Any:
            effects = right(*values, **named)
            kept = [one for one in effects.wanted if not isinstance(one, kind)]
            return Effects(effects.step, kept, effects.outcome)

        return wrong

    return change


_DEBIT = ("nodes.rules.orders:may_debit", "clearing.rules.prepares:may_debit")
_CREDIT = (
    "nodes.rules.orders:may_credit",
    "nodes.rules.offers:may_credit",
    "clearing.rules.prepares:may_credit",
)


@_bug("floor-by-one", "A member may go one unit past her floor.", *_DEBIT)
def _floor_by_one(right: Any) -> Any:
    def wrong(account: Any, amount: int) -> Any:
        return right(account, max(1, amount - 1))

    return wrong


@_bug("ceiling-by-one", "An account may go one unit past its ceiling.", *_CREDIT)
def _ceiling_by_one(right: Any) -> Any:
    return lambda account, amount: right(account, max(1, amount - 1))


@_bug("netted-holds-out", "What may still come in covers what goes out.", *_DEBIT)
def _netted_out(right: Any) -> Any:
    def wrong(account: Any, amount: int) -> Any:
        return right(
            _replace(account, balance=account.balance + account.held_in), amount
        )

    return wrong


@_bug("netted-holds-in", "What may still go out makes room for what comes.", *_CREDIT)
def _netted_in(right: Any) -> Any:
    def wrong(account: Any, amount: int) -> Any:
        netted = _replace(account, balance=account.balance - account.held_out)
        return right(netted, amount)

    return wrong


@_bug("holds-not-counted", "What is set aside may be spent again.", *_DEBIT)
def _holds_not_counted(right: Any) -> Any:
    return lambda account, amount: right(_replace(account, held_out=0), amount)


@_bug("frozen-account-pays", "A frozen account pays and is paid.", *_DEBIT, *_CREDIT)
def _frozen_pays(right: Any) -> Any:
    return lambda account, amount: right(_replace(account, frozen=False), amount)


@_bug(
    "posting-at-limit",
    "A decision that passes a limit by now is not posted.",
    "nodes.house:rules.decide_decision",
)
def _posting_at_limit(right: Any) -> Any:
    def wrong(view: Any, decision: Any, now: Any) -> Any:
        effects = right(view, decision, now)
        transfer = view.transfers.get(decision.id)
        account = view.accounts.get(transfer.account) if transfer else None
        if account is not None and account.frozen:
            return Effects(None, effects.wanted[:1])
        return effects

    return wrong


@_bug(
    "hold-kept-on-refusal",
    "A node does not release the hold of a refused transfer.",
    "nodes.house:rules.decide_decision",
)
def _hold_kept(right: Any) -> Any:
    def wrong(view: Any, decision: Any, now: Any) -> Any:
        effects = right(view, decision, now)
        kept = [
            one
            for one in effects.wanted
            if not (isinstance(one, EndHold) and one.state is HoldState.VOIDED)
        ]
        return Effects(effects.step, kept, effects.outcome)

    return wrong


@_bug(
    "entry-forgotten",
    "A node ends the hold of a cleared transfer and books nothing.",
    "nodes.house:rules.decide_decision",
)
def _entry_forgotten(right: Any) -> Any:
    return _without(PostEntry)(right)


@_bug(
    "hub-entry-forgotten",
    "The hub clears a transfer and moves no position.",
    "clearing.rules.decisions:_decide",
)
def _hub_entry_forgotten(right: Any) -> Any:
    return _without(PostEntry)(right)


@_bug(
    "state-forgotten",
    "A node books a decision and does not keep the transfer's state.",
    "nodes.house:rules.decide_decision",
)
def _state_forgotten(right: Any) -> Any:
    return _without(SaveTransfer)(right)


@_bug(
    "local-timeout",
    "The payer's node releases a hold by itself when it is late.",
    "nodes.house:rules.decide_cancel",
)
def _local_timeout(right: Any) -> Any:
    def wrong(view: Any, wish: Any) -> Any:
        effects = right(view, wish)
        transfer = view.transfers.get(wish.transfer_id)
        if not effects.wanted:
            return effects
        ended = _replace(
            transfer, state="refused", code=RefusalCode.CANCELLED, is_cancel_sent=True
        )
        return Effects(
            effects.step,
            (
                EndHold(wish.transfer_id, HoldState.VOIDED),
                SaveTransfer(ended),
                effects.wanted[1],
            ),
            effects.outcome,
        )

    return wrong


@_bug(
    "cancel-beats-decision",
    "A cancel that comes after the decision refuses what was cleared.",
    "clearing.rules.decisions:move",
)
def _second_decision(right: Any) -> Any:
    def wrong(role: Any, state: Any, event: Any) -> Any:
        if role == "hub" and state == "cleared" and event == "refuse":
            return state.REFUSED
        return right(role, state, event)

    return wrong


@_bug(
    "no-dedupe-of-prepares",
    "A prepare under an id that was decided on begins a transfer anew.",
    "clearing.rules:decide_prepare",
)
def _no_dedupe(right: Any) -> Any:
    def wrong(view: Any, arrived: Any, now: Any) -> Any:
        view.transfers.pop(arrived.item.id, None)
        view.holds.pop(arrived.item.id, None)
        return right(view, arrived, now)

    return wrong


@_bug(
    "expiry-on-two-clocks",
    "The payee's node refuses an offer that is late by its own clock, and keeps it.",
    "nodes.house:rules.decide_decision",
)
def _two_clocks(right: Any) -> Any:
    def wrong(view: Any, decision: Any, now: Any) -> Any:
        transfer = view.transfers.get(decision.id)
        if transfer is not None and now > transfer.decide_by:
            decision = _replace(decision, outcome="refused", answer=None)
        return right(view, decision, now)

    return wrong


@_bug(
    "expiry-one-late",
    "The hub still clears at the very end of the time, and after it.",
    "clearing.rules.decisions:decide_due",
)
def _expiry_late(right: Any) -> Any:
    def wrong(view: Any, transfer: Any, now: Any) -> Any:
        if transfer.waiting is not None:
            now = max(transfer.taken_at, min(now, transfer.decide_by - 1))
        return right(view, transfer, now)

    return wrong


@_bug(
    "clock-set-back",
    "The hub clears earlier than it took the prepare.",
    "clearing.rules.decisions:decide_due",
)
def _set_back(right: Any) -> Any:
    def wrong(view: Any, transfer: Any, now: Any) -> Any:
        early = _replace(transfer, taken_at=min(transfer.taken_at, now))
        effects = right(view, early, now)
        wanted = [
            SaveTransfer(_replace(one.transfer, taken_at=transfer.taken_at))
            if isinstance(one, SaveTransfer) and one.transfer.taken_at == now
            else one
            for one in effects.wanted
        ]
        return Effects(effects.step, wanted, effects.outcome)

    return wrong


@_bug(
    "decides-before-comparing",
    "After a start the hub decides before the groups have compared.",
    "clearing.rules.view:HubView.may_decide_on",
)
def _decides_early(right: Any) -> Any:
    return lambda view, transfer: True


@_bug(
    "refuses-before-comparing",
    "After a start the hub refuses before the groups have compared.",
    "clearing.rules.decisions:refuse_or_wait",
)
def _refuses_early(right: Any) -> Any:
    def wrong(view: Any, transfer: Any, *rest: Any) -> Any:
        class Open:
            def __getattr__(self, name: str) -> Any:
                return getattr(view, name)

            def may_decide_on(self, _: Any) -> bool:
                return True

        return right(Open(), transfer, *rest)

    return wrong


@_bug(
    "seals-before-comparing",
    "A server seals at its start, before it has compared.",
    "protocol.link:Link.may_seal",
)
def _seals_early(right: Any) -> Any:
    return property(
        lambda link: link.trouble is None and link.sent == link.acknowledged
    )


@_bug(
    "takes-before-comparing",
    "A server takes what comes before both have compared.",
    "protocol.link:_judge",
)
def _takes_early(right: Any) -> Any:
    def wrong(link: Any, *rest: Any) -> Any:
        return right(_replace(link, is_named=True, has_given=True), *rest)

    return wrong


@_bug(
    "no-dedupe-of-envelopes",
    "An envelope that was taken is taken again when it comes again.",
    "protocol.link:_judge_old",
)
def _takes_twice(right: Any) -> Any:
    return lambda envelope, known: Taking.TAKEN


@_bug(
    "resend-is-a-fork",
    "An envelope that comes again is taken for a fork.",
    "protocol.link:_judge_old",
)
def _resend_fork(right: Any) -> Any:
    return lambda envelope, known: Taking.FORKED


@_bug(
    "resend-is-behind",
    "A peer that lacks what it never acknowledged is taken to be behind.",
    "protocol.link:_trouble_with_ours",
)
def _resend_behind(right: Any) -> Any:
    def wrong(link: Any, cover: Any) -> Any:
        if cover.ack < link.sent:
            from protocol.link import Trouble

            return Trouble.PEER_IS_BEHIND
        return right(link, cover)

    return wrong


@_bug(
    "identity-is-line-1",
    "An envelope is known by its line 1, not by what it signs.",
    "protocol.envelope:open_stored",
)
def _line_1(right: Any) -> Any:
    def wrong(line_1: bytes, *rest: Any) -> Any:
        payload, _ = right(line_1, *rest)
        return payload, line_hash(line_1)

    return wrong


@_bug(
    "taken-not-kept",
    "An envelope is acknowledged and not kept.",
    "protocol.peer.clerk:link_store.write_taken",
)
def _acks_lost(right: Any) -> Any:
    async def wrong(connection: Any, taken: Any, now: Any) -> None:
        await right(connection, taken[1:], now)

    return wrong


@_bug(
    "torn-commit",
    "A batch is written in two database transactions.",
    "protocol.peer.clerk:transfer_store.write",
)
def _torn(right: Any) -> Any:
    async def wrong(connection: Any, view: Any, effects: Any) -> None:
        database = getattr(connection, "_database", None)
        if database is not None and effects:
            database.commit()
            database.begin()
        await right(connection, view, effects)

    return wrong


@_bug(
    "answers-before-commit",
    "What was ordered is acknowledged and not written when little is asked.",
    "protocol.peer.clerk:Clerk._is_worth_writing",
)
def _not_worth(right: Any) -> Any:
    def wrong(clerk: Any, batch: Any) -> bool:
        return bool(right(clerk, batch)) and len(batch.effects) != 5

    return wrong


@_bug(
    "key-forgotten",
    "How an order was answered is not kept under its key.",
    "nodes.house:member_store.read_answers",
)
def _key_forgotten(right: Any) -> Any:
    async def wrong(connection: Any, keyed: Any) -> dict[Any, Any]:
        return {}

    return wrong


@_bug(
    "rounds-down",
    "The payer pays the price rounded down.",
    "nodes.rules.orders:quote",
    "nodes.rules.offers:quote",
)
def _rounds_down(right: Any) -> Any:
    def wrong(amount: Any, payer_rate: int, payee_rate: int) -> Any:
        quoted = right(amount, payer_rate, payee_rate)
        if quoted is None:
            return None
        pays = max(1, amount * payee_rate // payer_rate)
        return _replace(quoted, payer_amount=pays)

    return wrong


@_bug(
    "old-rate-is-good",
    "The hub takes prepares at a rate that counts no more.",
    "clearing.rules.prepares:_first_refusal",
)
def _old_rate(right: Any) -> Any:
    def wrong(view: Any, prepare: Any, now: Any) -> Any:
        code = right(view, prepare, now)
        return None if code is RefusalCode.RATE_CHANGED else code

    return wrong


@_bug(
    "frozen-group-trades",
    "The hub takes new transfers of a frozen group.",
    "clearing.rules.prepares:_may_trade",
)
def _frozen_group(right: Any) -> Any:
    return lambda view, record: True


@_bug(
    "group-limit-forgotten",
    "The hub holds beyond a group's limits.",
    "clearing.rules.prepares:_refusal_by_limits",
)
def _group_limit(right: Any) -> Any:
    return lambda view, prepare, now: None


@_bug(
    "cap-forgets-held",
    "Of a cap only what is cleared counts, not what is held.",
    "clearing.rules.caps:count",
)
def _cap_forgets(right: Any) -> Any:
    return lambda view, offered: []


@_bug(
    "group-hold-to-itself",
    "The hub posts a cleared transfer the wrong way round.",
    "clearing.rules.decisions:_entry_of",
)
def _wrong_way(right: Any) -> Any:
    def wrong(transfer: Any, now: Any) -> Any:
        entry = right(transfer, now)
        turned = tuple(_replace(one, amount=-one.amount) for one in entry.postings)
        return _replace(entry, postings=turned)

    return wrong


@_bug(
    "mirror-off",
    "A node books a received transfer with its clearing in another entry's unit.",
    "nodes.rules.decisions:_entry_of",
)
def _mirror_off(right: Any) -> Any:
    def wrong(transfer: Any, now: Any) -> Any:
        entry = right(transfer, now)
        if transfer.role != "payee" or transfer.milliseconds < 2:
            return entry
        changed = [
            _replace(one, amount=one.amount + (1 if one.amount > 0 else -1))
            if one.account_id == "clearing" or one.account_id.endswith(".time")
            else one
            for one in entry.postings
        ]
        return _replace(entry, postings=tuple(changed))

    return wrong


@_bug(
    "refund-not-counted",
    "Refunds are not counted, so more is given back than was paid.",
    "protocol.refund:remaining",
)
def _refunds(right: Any) -> Any:
    return lambda original: original.milliseconds


@_bug(
    "refund-not-given-back",
    "The share of a refund that was refused is not given back.",
    "protocol.refund:give_back",
)
def _refund_kept(right: Any) -> Any:
    return lambda view, refund: ()


@_bug(
    "covers-go-back",
    "After a restart covers begin again at the clock, whatever was said before.",
    "protocol.peer.clerk:link_store.read_cover_limit",
)
def _covers_back(right: Any) -> Any:
    async def wrong(connection: Any) -> int:
        return 0

    return wrong


@_bug(
    "waiting-answer-lost",
    "An accept that came before its groups compared is forgotten.",
    "clearing.rules.decisions:_decide_accept",
)
def _waiting_lost(right: Any) -> Any:
    def wrong(view: Any, transfer: Any, arrived: Any, now: Any) -> Any:
        if not view.may_decide_on(transfer):
            return Effects(None, ())
        return right(view, transfer, arrived, now)

    return wrong


@_bug(
    "reads-no-unacknowledged",
    "After a restart what was sealed and not acknowledged is not sent again.",
    "protocol.peer.clerk:link_store.read_unacknowledged",
)
def _not_resent(right: Any) -> Any:
    async def wrong(connection: Any, link: Any) -> list[Any]:
        return []

    return wrong


@_bug(
    "refunds-of-one-batch",
    "Of two refunds in one batch the second is counted alone.",
    "protocol.refund:_change",
)
def _blind_refunds(right: Any) -> Any:
    def wrong(view: Any, refund: Any, by: int) -> Any:
        original = view.transfers.get(refund.refund_of)
        if original is None:
            return right(view, refund, by)
        first = vars(view).setdefault("as it was", {})
        view.transfers[refund.refund_of] = first.setdefault(refund.refund_of, original)
        return right(view, refund, by)

    return wrong


@_bug(
    "refund-of-anything",
    "Also what was refused, or is not ended, may be given back.",
    "protocol.refund:first_refusal",
)
def _refund_of_anything(right: Any) -> Any:
    def wrong(original: Any, *rest: Any) -> Any:
        if original is not None:
            original = _replace(original, state=State.CLEARED)
        return right(original, *rest)

    return wrong


@_bug(
    "rate-of-today",
    "What is cleared is booked at the rate of today, not at that of the offer.",
    "nodes.house:rules.decide_decision",
)
def _rate_of_today(right: Any) -> Any:
    def wrong(view: Any, *rest: Any) -> Any:
        effects = right(view, *rest)
        version = str(view.directory[view.group].rate_version)
        return Effects(
            effects.step,
            [_booked_at(version, one) for one in effects.wanted],
            effects.outcome,
        )

    return wrong


def _booked_at(version: str, effect: Any) -> Any:
    """Let an entry go through the conversion accounts of another rate."""
    if not isinstance(effect, PostEntry):
        return effect
    postings = []
    for one in effect.entry.postings:
        name, *rest = one.account_id.split(".")
        if name == "conversion":
            account_id = ".".join([name, version, *rest[1:]])
            one = _replace(one, account_id=account_id)
        postings.append(one)
    return PostEntry(_replace(effect.entry, postings=tuple(postings)))


@_bug(
    "restored-mark-unread",
    "A server that was put back goes on before it has compared.",
    "protocol.peer.clerk:backup_store.read_restored",
)
def _mark_unread(right: Any) -> Any:
    async def wrong(connection: Any) -> None:
        return None

    return wrong


@_bug(
    "goes-on-after-one",
    "A hub that was put back goes on when the first group has compared.",
    "protocol.peer.batch:may_go_on",
)
def _goes_on_early(right: Any) -> Any:
    def wrong(restored: Any, links: Any, awaited: Any) -> Any:
        return right(restored, links, sorted(set(awaited) & restored.proved)[:1])

    return wrong


@_bug(
    "admission-without-floor",
    "A group is admitted with another floor than its invitation says.",
    "clearing.rules:decide_admission",
)
def _other_floor(right: Any) -> Any:
    def wrong(view: Any, admission: Any, now: Any) -> Any:
        view.invitations = {
            code: _replace(one, floor=one.floor * 2)
            for code, one in view.invitations.items()
        }
        return right(view, admission, now)

    return wrong


@_bug(
    "floor-one-up",
    "A treasurer's new floor is kept one unit too high.",
    "nodes.rules.members:SetLimits",
)
def _floor_one_up(right: Any) -> Any:
    def wrong(account_id: Any, floor: Any, *rest: Any) -> Any:
        return right(account_id, floor and floor + 1, *rest)

    return wrong
