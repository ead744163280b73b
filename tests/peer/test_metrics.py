from protocol.peer.metrics import CONTENT_TYPE, Metrics


def test_two_servers_in_one_process_count_apart() -> None:
    hub, node = Metrics(), Metrics()
    hub.refusals.labels("payer-floor").inc()
    assert b'interlets_refusals_total{code="payer-floor"} 1.0' in hub.render()
    assert b"payer-floor" not in node.render()


def test_a_link_shows_one_state_only() -> None:
    metrics = Metrics()
    metrics.set_link_state("mechelen", "comparing")
    metrics.set_link_state("mechelen", "open")
    metrics.set_link_state("mechelen", "open")
    shown = metrics.render()
    assert b'interlets_link_state{peer="mechelen",state="open"} 1.0' in shown
    assert b"comparing" not in shown


def test_the_page_says_what_it_is() -> None:
    assert CONTENT_TYPE.startswith("text/plain")
