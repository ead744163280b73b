"""How often something may happen within an hour."""

import pytest

from protocol.instant import Instant
from protocol.quota import Quota, hour_ends
from protocol.unit import HOUR

NOON = Instant(HOUR * 1000)


@pytest.mark.parametrize("most", [1, 3])
def test_the_last_of_an_hour_uses_it_up_and_says_so_once(most: int) -> None:
    quota = Quota(most)
    said = []
    for _ in range(most):
        assert not quota.is_used_up("oostende", NOON)
        said.append(quota.note("oostende", NOON))
    assert said == [False] * (most - 1) + [True]
    assert quota.is_used_up("oostende", NOON)
    assert not quota.note("oostende", NOON)
    assert not quota.is_used_up("mechelen", NOON)


def test_a_new_hour_begins_with_nothing_counted() -> None:
    quota = Quota(1)
    quota.note("oostende", NOON)
    last = Instant(hour_ends(NOON) - 1)
    assert quota.is_used_up("oostende", last)
    assert hour_ends(last) == NOON + HOUR
    assert not quota.is_used_up("oostende", hour_ends(last))
    assert quota.note("oostende", hour_ends(last))


def test_what_a_copy_counts_the_first_does_not_know() -> None:
    quota = Quota(2)
    quota.note("oostende", NOON)
    copied = quota.copy()
    assert copied.note("oostende", NOON)
    assert not quota.is_used_up("oostende", NOON)
