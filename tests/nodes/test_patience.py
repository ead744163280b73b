"""What is missing is waited for a minute; outages do not count."""

from nodes.watch.patience import PATIENCE_S, Patience


def look(patience: Patience, heard_s: float) -> bool:
    patience.begin_look(heard_s)
    return patience.is_over("it")


def test_a_minute_of_covers_is_enough_and_less_is_not() -> None:
    patience = Patience()
    found = [at_s for at_s in range(0, 61, 3) if look(patience, float(at_s))]
    assert found[0] == 45
    assert PATIENCE_S == found[0] < 60


def test_polls_that_are_held_back_find_it_too() -> None:
    patience = Patience()
    assert [look(patience, at_s) for at_s in (0.0, 24.5, 49.5)] == [False, False, True]


def test_time_in_which_the_hub_was_not_heard_does_not_count() -> None:
    patience = Patience()
    assert not any(look(patience, 7.0) for _ in range(900))
    assert not any(look(patience, float("-inf")) for _ in range(900))


def test_covers_that_come_seldom_tell_nothing_of_the_time_between_them() -> None:
    """Simulator seeds 84, 106 and 234: an honest hub on a line that loses most."""
    patience = Patience()
    assert not any(look(patience, at_s) for at_s in (0.0, 45.0, 90.0, 86_400.0))
    assert not look(patience, 86_444.9)
    assert look(patience, 86_489.8)


def test_what_was_found_is_waited_for_anew() -> None:
    patience = Patience()
    for at_s in range(0, 49, 3):
        look(patience, float(at_s))
    patience.end("it")
    assert not look(patience, 51.0)
    assert not look(patience, 54.0)


def test_a_look_counts_once_however_often_it_asks() -> None:
    patience = Patience()
    patience.begin_look(0.0)
    patience.is_over("it")
    patience.begin_look(10.0)
    assert not any(patience.is_over("it") for _ in range(100))


def test_looks_that_did_not_ask_do_not_count() -> None:
    patience = Patience()
    assert not look(patience, 0.0)
    for at_s in range(10, 100, 10):
        patience.begin_look(float(at_s))
    assert not look(patience, 100.0)
