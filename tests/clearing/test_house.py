"""What the hub's house keeps beside its rules: the quota of refused prepares."""

from clearing.house import Quota
from protocol.instant import Instant
from protocol.transfer import REFUSED_PREPARES_MAX
from protocol.unit import HOUR

NOON = Instant(HOUR * 1000)


def test_the_last_permitted_refusal_is_the_thousandth_of_an_hour() -> None:
    quota = Quota()
    for _ in range(REFUSED_PREPARES_MAX - 1):
        quota.note("oostende", NOON)
    assert not quota.is_used_up("oostende", NOON)
    quota.note("oostende", NOON)
    assert quota.is_used_up("oostende", NOON)
    assert not quota.is_used_up("mechelen", NOON)


def test_a_new_hour_begins_with_nothing_refused() -> None:
    quota = Quota()
    for _ in range(REFUSED_PREPARES_MAX):
        quota.note("oostende", NOON)
    assert quota.is_used_up("oostende", Instant(NOON + HOUR - 1))
    assert not quota.is_used_up("oostende", Instant(NOON + HOUR))
