"""What is missing is waited for a minute; outages do not count."""

from nodes.watch.patience import PATIENCE_S, Patience


def look(patience: Patience, now_s: float, *, is_link_up: bool = True) -> bool:
    patience.begin_look(now_s, is_link_up=is_link_up)
    return patience.is_over("it")


def test_a_minute_of_looks_is_enough_and_less_is_not() -> None:
    patience = Patience()
    found = [now_s for now_s in range(0, 61, 3) if look(patience, float(now_s))]
    assert found[0] == 51
    assert PATIENCE_S <= found[0] < 60


def test_time_without_the_link_does_not_count() -> None:
    patience = Patience()
    assert not any(look(patience, now_s, is_link_up=False) for now_s in range(900))
    assert not look(patience, 901.0)


def test_a_process_that_slept_has_not_waited() -> None:
    patience = Patience()
    assert not look(patience, 0.0)
    assert not look(patience, 86_400.0)


def test_what_was_found_is_waited_for_anew() -> None:
    patience = Patience()
    for now_s in range(0, 49, 3):
        look(patience, float(now_s))
    patience.end("it")
    assert not look(patience, 51.0)
    assert not look(patience, 54.0)


def test_a_look_counts_once_however_often_it_asks() -> None:
    patience = Patience()
    patience.begin_look(0.0, is_link_up=True)
    patience.is_over("it")
    patience.begin_look(10.0, is_link_up=True)
    assert not any(patience.is_over("it") for _ in range(100))


def test_looks_that_did_not_ask_do_not_count() -> None:
    patience = Patience()
    assert not look(patience, 0.0)
    for now_s in range(10, 100, 10):
        patience.begin_look(float(now_s), is_link_up=True)
    assert not look(patience, 100.0)
