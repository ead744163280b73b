"""The table of a transfer's states: complete, and the first decision wins."""

import itertools

import pytest

from protocol.transfer import Contradiction, Event, Move, Role, State, move

ENDED = (State.CLEARED, State.REFUSED)

#: Where a transfer can stand on each server; ``None``: not known there.
STATES: dict[Role, tuple[State | None, ...]] = {
    Role.PAYER: (None, State.ORDERED, *ENDED),
    Role.HUB: (None, State.TAKEN, State.OFFERED, *ENDED),
    Role.PAYEE: (None, State.ACCEPTED, *ENDED),
}
#: What begins a transfer on each server.
BEGINNING = {
    Role.PAYER: {Event.ORDER: State.ORDERED},
    Role.HUB: {
        Event.HOLD: State.OFFERED,
        Event.WAIT: State.TAKEN,
        Event.REFUSE: State.REFUSED,
    },
    Role.PAYEE: {Event.HOLD: State.ACCEPTED},
}


def asked() -> list[tuple[Role, State | None, Event]]:
    """Every question that a rule can ask of the table."""
    begins = [
        (role, None, event) for role, events in BEGINNING.items() for event in events
    ]
    replies = [
        (Role.HUB, state, event)
        for state in STATES[Role.HUB]
        for event in (Event.WAIT, Event.CLEAR, Event.REFUSE)
        # The hub looks an accept up only for a transfer that it knows.
        if not (state is None and event is Event.CLEAR)
    ]
    decisions = [
        (role, state, event)
        for role in (Role.PAYER, Role.PAYEE)
        for state in STATES[role]
        for event in (Event.CLEAR, Event.REFUSE)
    ]
    return sorted({*begins, *replies, *decisions}, key=str)


@pytest.mark.parametrize(("role", "state", "event"), asked())
def test_the_table_answers_whatever_a_rule_can_ask(
    role: Role, state: State | None, event: Event
) -> None:
    found = move(role, state, event)
    assert found in STATES[role] or isinstance(found, Move | Contradiction)


def test_the_table_answers_nothing_else() -> None:
    questions = set(asked())
    for question in itertools.product(Role, (None, *State), Event):
        if question not in questions:
            with pytest.raises(AssertionError, match="no such move"):
                move(*question)


@pytest.mark.parametrize(
    ("role", "event", "state"),
    [
        (role, event, state)
        for role, events in BEGINNING.items()
        for event, state in events.items()
    ],
)
def test_a_transfer_begins_here_in_one_way(
    role: Role, event: Event, state: State
) -> None:
    assert move(role, None, event) is state


@pytest.mark.parametrize(
    ("role", "state", "event"),
    [question for question in asked() if question[1] in ENDED],
)
def test_the_first_decision_wins_for_ever(
    role: Role, state: State, event: Event
) -> None:
    assert not isinstance(move(role, state, event), State)


@pytest.mark.parametrize("role", [Role.PAYER, Role.PAYEE])
def test_a_contradicting_decision_is_for_people(role: Role) -> None:
    second = Contradiction.SECOND_DECISION
    assert move(role, State.CLEARED, Event.REFUSE) is second
    assert move(role, State.REFUSED, Event.CLEAR) is second
    assert move(role, None, Event.CLEAR) is Contradiction.NEVER_ACCEPTED


@pytest.mark.parametrize("event", [Event.WAIT, Event.CLEAR, Event.REFUSE])
@pytest.mark.parametrize("state", ENDED)
def test_the_hub_ignores_what_comes_late(state: State, event: Event) -> None:
    assert move(Role.HUB, state, event) is Move.KEEP


def test_what_the_hub_never_offered_cannot_clear() -> None:
    assert move(Role.HUB, State.TAKEN, Event.CLEAR) is Move.KEEP


@pytest.mark.parametrize("role", [Role.PAYER, Role.PAYEE])
def test_a_refusal_of_what_is_not_known_here_changes_nothing(role: Role) -> None:
    assert move(role, None, Event.REFUSE) is Move.KEEP
