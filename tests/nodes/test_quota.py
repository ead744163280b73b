"""A member whose orders are refused again and again waits, and nobody else does."""

from typing import Any

import msgspec
import pytest

from clearing.house import HubHouse
from nodes import rules
from nodes.rules import MEMBER_REFUSED_MAX, MustWait, Ordered
from protocol.effects import Effects, SaveTransfer
from protocol.errors import OrderRefusalCode, RefusalCode
from protocol.instant import Instant
from protocol.messages import line_hash, write_line
from protocol.peer.web.problems import Problem
from protocol.quota import Quota, hour_ends
from protocol.steps import Step
from protocol.transfer import Role, State
from protocol.unit import HOUR
from tests.nodes.makers import decision, member, node_view, oostende, order, ordered
from tests.peer.federation import NewDatabase, federation
from tests.peer.makers import NOW
from tests.peer.test_refunds import people
from tests.protocol.makers import OOSTENDE


def refused(code: str, **changes: Any) -> tuple[Any, Effects]:
    """Marie's order, refused by the hub for this reason."""
    view = oostende()
    prepare = ordered(view, **changes)
    told = decision(
        prepare=line_hash(write_line(prepare)),
        outcome="refused",
        code=RefusalCode(code),
    )
    return view, rules.decide_decision(view, told, NOW)


NOT_COUNTED = {RefusalCode.CANCELLED, RefusalCode.PAYEE_UNREACHABLE}


@pytest.mark.parametrize("code", RefusalCode)
def test_a_refusal_elsewhere_counts_for_the_member(code: RefusalCode) -> None:
    view, effects = refused(code)
    view.quota = Quota(1)
    rules.count_refusal(view, effects, NOW)
    assert view.quota.is_used_up("marie", NOW) == (code not in NOT_COUNTED)


def test_what_a_treasurer_orders_counts_for_the_member() -> None:
    changes = {"author": "treasurer", "caller": "treasurer"}
    view, effects = refused(RefusalCode.PAYER_GROUP_FLOOR, **changes)
    view.quota = Quota(1)
    rules.count_refusal(view, effects, NOW)
    assert view.quota.is_used_up("marie", NOW)
    assert not view.quota.is_used_up("treasurer", NOW)


def test_who_is_paid_is_not_blamed() -> None:
    view, effects = refused(RefusalCode.PAYER_GROUP_FLOOR)
    (saved,) = (one for one in effects.wanted if isinstance(one, SaveTransfer))
    assert saved.transfer.state is State.REFUSED
    received = msgspec.structs.replace(saved.transfer, role=Role.PAYEE, account="bob")
    decided = Effects(Step.DECISION_REFUSED, (SaveTransfer(received),))
    view.quota = Quota(1)
    rules.count_refusal(view, decided, NOW)
    assert not view.quota.is_used_up("bob", NOW)


def used_up(refusals: int, now: Instant = NOW) -> Any:
    view = node_view(OOSTENDE, member("marie", floor=-100), member("jan", floor=-100))
    for _ in range(refusals):
        view.quota.note("marie", now)
    return view


def test_the_hundredth_refusal_is_the_last_before_she_waits() -> None:
    effects = rules.decide_order(used_up(MEMBER_REFUSED_MAX - 1), order(), NOW)
    assert isinstance(effects.outcome, Ordered)
    effects = rules.decide_order(used_up(MEMBER_REFUSED_MAX), order(), NOW)
    assert not effects.wanted
    assert isinstance(effects.outcome, MustWait)
    assert 0 < effects.outcome.wait_s <= 3600
    end = hour_ends(NOW)
    assert (end - NOW) <= effects.outcome.wait_s * 1000 < (end - NOW) + 1000


def test_another_member_and_the_next_hour_do_not_wait() -> None:
    view = used_up(MEMBER_REFUSED_MAX)
    other = order(payer="jan", caller="jan")
    assert isinstance(rules.decide_order(view, other, NOW).outcome, Ordered)
    view = used_up(MEMBER_REFUSED_MAX)
    later = Instant(NOW + HOUR)
    assert not isinstance(rules.decide_order(view, order(), later).outcome, MustWait)


def test_inside_the_group_she_pays_as_always() -> None:
    view = used_up(MEMBER_REFUSED_MAX)
    inside = order(payee="jan", payee_group=OOSTENDE, payer_amount_max=3)
    assert isinstance(rules.decide_order(view, inside, NOW).outcome, Ordered)


async def test_one_member_cannot_have_her_whole_group_made_to_wait(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        await federated.hub.change("UPDATE account SET floor = 0")
        marie, _ = people(federated)
        for number in range(MEMBER_REFUSED_MAX):
            await marie.order(f"order-{number}", "bob@mechelen", 3)
        await federated.quiet()
        with pytest.raises(Problem) as caught:
            await marie.order("one-more", "bob@mechelen", 3)
        code = OrderRefusalCode.TOO_MANY_REFUSED
        problem = caught.value
        assert (problem.status, problem.kind, problem.code) == (429, code, code)
        assert 0 < int(problem.headers["Retry-After"]) <= 3600
        # What she ordered before has the answer that it had.
        old = await marie.order("order-0", "bob@mechelen", 3)
        assert (old.state, old.code) == (State.REFUSED, RefusalCode.PAYER_GROUP_FLOOR)
        assert await node.held() == 0
        house = federated.hub.house
        assert isinstance(house, HubHouse)
        assert not house.must_wait(OOSTENDE, federated.hub.clock.now())
        # A restart forgives.
        await node.restart()
        await federated.quiet()
        marie, _ = people(federated)
        again = await marie.order("one-more", "bob@mechelen", 3)
        assert again.state is State.ORDERED
