"""The group asks for a new entry, and learns what became of it; pure."""

import random
from typing import Any

import pytest

from nodes import rules
from nodes.rules import (
    KeepProposal,
    NodeView,
    NotProposed,
    Proposal,
    ProposalState,
    Propose,
    Wish,
    conversion,
    conversion_time,
    next_entry,
)
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effects,
    OpenAccount,
    PlaceHold,
    SaveGroup,
)
from protocol.errors import (
    DirectoryRefusalCode,
    ItemRefusalCode,
    MalformedMessageError,
    RefusalCode,
)
from protocol.key_change import leaves_room
from protocol.messages import (
    ITEM_LENGTH_MAX,
    DirectoryPropose,
    GroupEntry,
    ItemRefused,
    line_hash,
    write_line,
)
from protocol.steps import Step
from protocol.unit import Amount, quote
from tests.nodes.makers import (
    answer_hash,
    answered,
    carried,
    content,
    conversion_worth,
    decision,
    know,
    mechelen,
    offered,
    oostende,
    order,
    ordered,
)
from tests.peer.makers import (
    NOW,
    arrival,
    directory_decision,
    directory_of,
    entry_of,
    in_state,
    of_kind,
    sent,
    signed,
)
from tests.protocol.makers import MECHELEN, OOSTENDE
from tests.protocol.test_directory import WRONG, asked

BLUSSER, FASTER = 180_000, 120_000


def propose(entry: GroupEntry | None = None) -> Propose:
    wanted = entry or asked()
    return Propose(entry=wanted, signed=signed(wanted))


def waiting(view: NodeView) -> Proposal:
    """Ask for a new rate; gives the proposal that now waits."""
    effects = carried(view, rules.decide_propose(view, propose(), NOW))
    assert isinstance(effects.outcome, Proposal)
    return effects.outcome


def told(view: NodeView, entry: GroupEntry, **changes: Any) -> Effects:
    """The hub's decision on a group, as the node takes it."""
    found = directory_decision(entry, **changes)
    return carried(view, rules.decide_directory(view, found, write_line(found), NOW))


def refused(
    view: NodeView, proposal: Proposal, code: str = "not-approved"
) -> ArrivedItem:
    """The hub's answer that a proposal has no effect."""
    line = write_line(DirectoryPropose(entry=proposal.signed))
    view.sent_lines["hub", proposal.number] = line
    item = ItemRefused(
        number=proposal.number, hash=line_hash(line), code=ItemRefusalCode(code)
    )
    return arrival("hub", item)


# What a treasurer wishes.


def test_a_wish_becomes_the_next_entry() -> None:
    record = directory_of()[OOSTENDE]
    entry = next_entry(record, Wish(per_hour=30))
    assert entry == asked(BLUSSER, FASTER)
    words = next_entry(record, Wish(name="Kring", plural="blussers!"))
    assert words is not None
    assert (words.version, words.name, words.unit.plural) == (2, "Kring", "blussers!")
    assert words.rates == record.entry.rates


@pytest.mark.parametrize(
    "wish",
    [
        Wish(),
        Wish(per_hour=20),
        Wish(decimals=0),
        Wish(per_hour=20, name="LETS Oostende", unit="blusser", symbol="bl"),
    ],
)
def test_a_wish_for_what_is_so_asks_nothing(wish: Wish) -> None:
    assert next_entry(directory_of()[OOSTENDE], wish) is None


@pytest.mark.parametrize("decimals", [1, 2])
def test_decimals_never_change(decimals: int) -> None:
    with pytest.raises(MalformedMessageError, match="can never change"):
        next_entry(directory_of()[OOSTENDE], Wish(per_hour=30, decimals=decimals))


def test_a_minor_unit_is_worth_a_millisecond_at_least() -> None:
    cents = entry_of(OOSTENDE, 1800, unit=WRONG["other decimals"].unit)
    record = directory_of(cents)[OOSTENDE]
    entry = next_entry(record, Wish(per_hour=72_000))
    assert entry is not None and entry.rates[-1].milliseconds == 1
    with pytest.raises(MalformedMessageError, match="per_hour"):
        next_entry(record, Wish(per_hour=72_001))


# Asking the hub.


def test_a_proposal_is_kept_and_sent_and_changes_nothing_yet() -> None:
    view = oostende()
    before = view.directory
    effects = carried(view, rules.decide_propose(view, propose(), NOW))
    assert effects.step is Step.PROPOSE
    ((to, item),) = sent(effects)
    assert (to, item) == ("hub", DirectoryPropose(entry=signed(asked())))
    (kept,) = of_kind(effects, KeepProposal)
    assert kept.proposal == effects.outcome == view.proposal
    assert (kept.proposal.number, kept.proposal.state) == (1, ProposalState.WAITING)
    assert view.directory is before


def test_the_same_wish_again_is_the_same_proposal() -> None:
    view = oostende()
    first = waiting(view)
    effects = rules.decide_propose(view, propose(), NOW)
    assert (effects.wanted, effects.outcome) == ((), first)


def states(view: NodeView) -> list[ProposalState]:
    """What became of what the group asked, in the order of asking."""
    found = sorted(view.asked.values(), key=lambda one: one.number)
    return [one.state for one in found]


def test_a_wish_that_was_approved_while_it_came_again_is_that_proposal() -> None:
    view = oostende()
    waiting(view)
    told(view, asked())
    effects = rules.decide_propose(view, propose(), NOW)
    assert (effects.wanted, effects.outcome) == ((), view.proposal)
    assert view.proposal is not None
    assert view.proposal.state is ProposalState.APPROVED


def test_a_wish_that_was_refused_is_asked_anew() -> None:
    view = oostende()
    first = waiting(view)
    carried(view, rules.decide_item_refused(view, refused(view, first), NOW))
    assert waiting(view).number == 2


SLOWER = asked(BLUSSER, 90_000)


def test_another_wish_takes_the_place_of_the_one_that_waits() -> None:
    view = oostende()
    first = waiting(view)
    effects = carried(view, rules.decide_propose(view, propose(SLOWER), NOW))
    assert effects.step is Step.PROPOSE
    assert sent(effects) == [("hub", DirectoryPropose(entry=signed(SLOWER)))]
    ended, kept = (one.proposal for one in of_kind(effects, KeepProposal))
    assert (ended.number, ended.state, ended.answered_at) == (
        first.number,
        ProposalState.REPLACED,
        NOW,
    )
    assert kept == effects.outcome == view.proposal
    assert (kept.number, kept.is_waiting) == (2, True)


def test_a_late_no_to_the_one_that_was_replaced_does_nothing() -> None:
    view = oostende()
    first = waiting(view)
    carried(view, rules.decide_propose(view, propose(SLOWER), NOW))
    second = view.proposal
    arrived = refused(view, first)
    assert rules.decide_item_refused(view, arrived, NOW).wanted == ()
    assert view.proposal == second
    told(view, SLOWER)
    assert states(view) == [ProposalState.REPLACED, ProposalState.APPROVED]


def test_what_the_hub_approved_before_it_heard_of_the_newer_wish_counts() -> None:
    view = oostende()
    waiting(view)
    carried(view, rules.decide_propose(view, propose(SLOWER), NOW))
    second = view.proposal
    assert second is not None
    effects = told(view, asked())
    assert not of_kind(effects, CallPeople)
    assert view.directory[OOSTENDE].rate == FASTER
    # The newer one has the same version, so the hub says no to it.
    assert view.proposal == second
    carried(view, rules.decide_item_refused(view, refused(view, second), NOW))
    assert states(view) == [ProposalState.APPROVED, ProposalState.REFUSED]
    # And the group may ask on from what counts now.
    wish = next_entry(view.directory[OOSTENDE], Wish(per_hour=40))
    assert wish is not None and wish.version == 3
    outcome = carried(view, rules.decide_propose(view, propose(wish), NOW)).outcome
    assert isinstance(outcome, Proposal)


def test_to_want_the_first_again_is_a_third_item() -> None:
    view = oostende()
    waiting(view)
    carried(view, rules.decide_propose(view, propose(SLOWER), NOW))
    assert waiting(view).number == 3
    told(view, asked())
    assert view.proposal is not None
    assert (view.proposal.number, view.proposal.state) == (3, ProposalState.APPROVED)


@pytest.mark.parametrize("entry", WRONG.values(), ids=WRONG.keys())
def test_what_can_never_be_approved_is_not_asked(entry: GroupEntry) -> None:
    view = oostende()
    effects = rules.decide_propose(view, propose(entry), NOW)
    assert effects.wanted == ()
    assert effects.outcome == NotProposed(DirectoryRefusalCode.ENTRY_CHANGED)


def test_an_entry_that_no_decision_could_carry_is_not_asked() -> None:
    view = oostende()
    longest = max(n for n in range(ITEM_LENGTH_MAX) if leaves_room("x" * n, 0))
    for length, outcome in ((longest, Proposal), (longest + 1, NotProposed)):
        long = Propose(entry=asked(), signed="x" * length)
        found = rules.decide_propose(view, long, NOW).outcome
        assert isinstance(found, outcome)
    assert found == NotProposed(DirectoryRefusalCode.ENTRY_TOO_LONG)


def test_what_can_never_be_approved_ends_nothing_that_waits() -> None:
    view = oostende()
    first = waiting(view)
    effects = rules.decide_propose(view, propose(WRONG["the same rate again"]), NOW)
    assert effects.wanted == ()
    assert isinstance(effects.outcome, NotProposed)
    assert view.proposal == first


# What the hub answers.


def test_a_decision_approves_and_opens_the_accounts_of_the_new_rate() -> None:
    view = oostende()
    waiting(view)
    effects = told(view, asked())
    assert effects.step is Step.OWN_ENTRY
    opened = [effect.account.account_id for effect in of_kind(effects, OpenAccount)]
    assert opened == [conversion(2), conversion_time(2)]
    assert view.proposal is not None
    assert view.proposal.state is ProposalState.APPROVED
    assert view.proposal.answered_at == NOW
    assert view.directory[OOSTENDE].rate == FASTER
    assert not of_kind(effects, CallPeople)


@pytest.mark.parametrize("code", ["not-approved", "unreadable", "not-yours"])
def test_a_no_ends_the_proposal_and_nothing_else(code: str) -> None:
    view = oostende()
    proposal = waiting(view)
    before = view.directory
    arrived = refused(view, proposal, code)
    effects = carried(view, rules.decide_item_refused(view, arrived, NOW))
    assert effects.step is Step.PROPOSAL_ANSWERED
    assert view.proposal is not None
    assert view.proposal.state is ProposalState.REFUSED
    assert view.directory is before
    assert not of_kind(effects, CallPeople)
    # The same no once more does nothing.
    assert rules.decide_item_refused(view, arrived, NOW).wanted == ()


def test_a_no_to_the_first_proposal_does_not_end_the_second() -> None:
    view = oostende()
    no = refused(view, waiting(view))
    carried(view, rules.decide_item_refused(view, no, NOW))
    second = waiting(view)
    assert second.number == 2
    assert rules.decide_item_refused(view, no, NOW).wanted == ()
    assert view.proposal == second


def test_a_no_after_a_yes_does_nothing() -> None:
    view = oostende()
    proposal = waiting(view)
    told(view, asked())
    arrived = refused(view, proposal)
    assert rules.decide_item_refused(view, arrived, NOW).wanted == ()
    assert view.proposal is not None
    assert view.proposal.state is ProposalState.APPROVED


def test_a_no_to_a_line_that_we_never_sent_calls_people() -> None:
    view = oostende()
    proposal = waiting(view)
    arrived = refused(view, proposal)
    view.sent_lines.clear()
    effects = carried(view, rules.decide_item_refused(view, arrived, NOW))
    assert of_kind(effects, CallPeople)
    assert view.proposal == proposal


def test_a_decision_on_our_limits_leaves_the_proposal_waiting() -> None:
    view = oostende()
    proposal = waiting(view)
    effects = told(view, entry_of(OOSTENDE), state="frozen", floor=-1)
    assert view.proposal == proposal
    assert view.directory[OOSTENDE].state == "frozen"
    assert not of_kind(effects, (OpenAccount))
    assert not of_kind(effects, CallPeople)


@pytest.mark.parametrize("has_asked", [True, False])
def test_an_entry_of_ours_that_we_never_asked_for_calls_people(
    has_asked: bool,
) -> None:
    view = oostende()
    if has_asked:
        waiting(view)
    effects = told(view, asked(BLUSSER, 90_000))
    assert of_kind(effects, CallPeople)
    # It counts all the same, or no amount would agree with anybody's again.
    assert of_kind(effects, SaveGroup)


def test_another_groups_new_rate_answers_nothing_of_ours() -> None:
    view = oostende()
    proposal = waiting(view)
    effects = told(view, entry_of(MECHELEN, 60_000, 30_000))
    assert effects.step is None
    assert view.proposal == proposal
    assert not of_kind(effects, OpenAccount)


# Orders and offers around a change.


@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
@pytest.mark.parametrize("state", ["frozen", "leaving", "left"])
def test_an_order_to_or_from_a_group_that_may_not_trade_is_refused_at_once(
    group: Any, state: str
) -> None:
    view = oostende()
    know(view, in_state(view.directory, group, state))
    effects = rules.decide_order(view, order(), NOW)
    assert effects.outcome is RefusalCode.GROUP_FROZEN
    assert not of_kind(effects, PlaceHold)


def test_a_frozen_group_still_pays_inside() -> None:
    view = oostende()
    view.accounts["jan"] = oostende().accounts["marie"]
    know(view, in_state(view.directory, OOSTENDE, "frozen"))
    inside = order(payee="jan", payee_group=OOSTENDE, payer_amount_max=3)
    assert not isinstance(rules.decide_order(view, inside, NOW).outcome, RefusalCode)


@pytest.mark.parametrize(("group", "rate"), [(OOSTENDE, 60_000), (MECHELEN, 180_000)])
def test_an_order_whose_price_rose_is_refused_here(group: Any, rate: int) -> None:
    view = oostende()
    before = 180_000 if group == OOSTENDE else 60_000
    told(view, entry_of(group, before, rate))
    # Three ketjes were one blusser; now they are three.
    effects = rules.decide_order(view, order(payer_amount_max=2), NOW)
    assert effects.outcome is RefusalCode.RATE_CHANGED
    prepare = ordered(view, payer_amount_max=3, key="b")
    versions = (prepare.payer_rate, prepare.payee_rate)
    assert versions == ((2, 1) if group == OOSTENDE else (1, 2))


@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
def test_an_offer_under_an_old_rate_is_accepted_after_the_change(group: Any) -> None:
    view = mechelen()
    before = 180_000 if group == OOSTENDE else 60_000
    told(view, entry_of(group, before, 90_000))
    effects = carried(view, rules.decide_offer(view, offered(view), NOW))
    assert effects.step is Step.OFFER
    (hold,) = of_kind(effects, PlaceHold)
    assert (hold.debit_account, hold.amount) == (conversion(1), 3)


def test_an_offer_under_a_rate_that_nobody_announced_is_refused() -> None:
    view = mechelen()
    effects = rules.decide_offer(view, offered(view, payee_rate=2), NOW)
    (_, refuse) = sent(effects)[0]
    assert getattr(refuse, "code", None) is RefusalCode.AMOUNT_MISMATCH


def clear(
    payer: NodeView, payee: NodeView, id_: str, amount: Amount
) -> tuple[Any, ...]:
    """Carry a transfer up to the accept; gives what its end needs."""
    own, other = payer.directory[payer.group], payer.directory[payee.group]
    quoted = quote(amount, own.rate, other.rate)
    assert quoted is not None
    prepare = ordered(
        payer,
        transfer_id=id_,
        key=id_,
        payee_amount=amount,
        payer_amount_max=quoted.payer_amount,
    )
    says = content(payee_amount=amount, payer_amount=quoted.payer_amount)
    arrived = offered(
        payee,
        says=says,
        id=id_,
        milliseconds=quoted.milliseconds,
        payer_rate=prepare.payer_rate,
        payee_rate=prepare.payee_rate,
    )
    assert carried(payee, rules.decide_offer(payee, arrived, NOW)).step is Step.OFFER
    shown = answered(prepare)
    carried(payer, rules.decide_answer(payer, shown))
    return prepare, arrived, shown


@pytest.mark.parametrize("seed", range(25))
def test_no_change_of_rates_ever_lets_a_conversion_account_sink(seed: int) -> None:
    draw = random.Random(seed)
    payer = oostende(floor=-(10**9))
    payee = mechelen(ceiling=10**12)
    rates = {OOSTENDE: [BLUSSER], MECHELEN: [60_000]}
    open_ones: list[tuple[Any, ...]] = []
    for turn in range(40):
        match draw.choice(["pay", "pay", "end", "end", "change"]):
            case "pay":
                id_ = f"{draw.getrandbits(32):08x}-1e1e-8d2d-9c3c-4b4b4b4b4b4b"
                open_ones.append(
                    (id_, *clear(payer, payee, id_, Amount(draw.randint(1, 9))))
                )
            case "end" if open_ones:
                end(payer, payee, open_ones.pop(draw.randrange(len(open_ones))))
            case "change":
                group = draw.choice([OOSTENDE, MECHELEN])
                rates[group].append(draw.randint(1_000, 500_000) + turn)
                told(payer, entry_of(group, *rates[group]))
                told(payee, entry_of(group, *rates[group]))
        for version, rate in enumerate(rates[OOSTENDE], start=1):
            assert conversion_worth(payer, version, rate) >= 0
        for version, rate in enumerate(rates[MECHELEN], start=1):
            assert conversion_worth(payee, version, rate) == 0
    for one in open_ones:
        end(payer, payee, one)
    assert payer.clearing_balance == -payee.clearing_balance
    assert payer.accounts["marie"].held_out == payee.accounts["bob"].held_in == 0


def end(payer: NodeView, payee: NodeView, one: tuple[Any, ...]) -> None:
    """Let the hub's decision cleared arrive at both."""
    id_, prepare, arrived, shown = one
    for view, hash_ in (
        (payer, line_hash(write_line(prepare))),
        (payee, line_hash(arrived.item.line.encode())),
    ):
        cleared = decision(id=id_, prepare=hash_, answer=answer_hash(shown))
        effects = carried(view, rules.decide_decision(view, cleared, NOW))
        assert effects.step is Step.DECISION_CLEARED
