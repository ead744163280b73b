from protocol.peer.waiting_lines import WaitingLines

MANY, WIDE = 1000, 10_000


def test_lines_come_out_once_in_their_order() -> None:
    waiting = WaitingLines()
    for line in (b"{1}", b"{2}", b"{3}"):
        assert waiting.put("mechelen", line, until_s=30, now_s=0)
    assert waiting.take("mechelen", 2, WIDE, now_s=1) == b"{1}\n{2}\n"
    assert waiting.take("mechelen", MANY, WIDE, now_s=1) == b"{3}\n"
    assert waiting.take("mechelen", MANY, WIDE, now_s=1) == b""
    assert waiting.count() == 0


def test_nobody_gets_what_is_for_another() -> None:
    waiting = WaitingLines()
    waiting.put("mechelen", b"{1}", until_s=30, now_s=0)
    assert not waiting.has("oostende", now_s=0)
    assert waiting.take("oostende", MANY, WIDE, now_s=0) == b""
    assert waiting.has("mechelen", now_s=0)


def test_a_line_is_forgotten_when_its_time_is_over() -> None:
    waiting = WaitingLines()
    waiting.put("mechelen", b"{1}", until_s=30, now_s=0)
    waiting.put("mechelen", b"{2}", until_s=5, now_s=0)
    assert waiting.has("mechelen", now_s=29.9)
    assert not waiting.has("mechelen", now_s=30)
    assert waiting.take("mechelen", MANY, WIDE, now_s=6) == b"{1}\n"
    waiting.put("gent", b"{3}", until_s=10, now_s=0)
    # Nobody came for it: the next one, whoever it is for, sweeps it away.
    waiting.put("mechelen", b"{4}", until_s=40, now_s=10)
    assert waiting.count() == 1


def test_what_does_not_fit_waits_for_the_next_time() -> None:
    waiting = WaitingLines()
    for line in (b"{1}", b"{22}", b"{3}"):
        waiting.put("mechelen", line, until_s=30, now_s=0)
    # Two lines and their newlines are nine bytes.
    assert waiting.take("mechelen", MANY, 3, now_s=0) == b""
    assert waiting.take("mechelen", MANY, 8, now_s=0) == b"{1}\n"
    assert waiting.take("mechelen", MANY, 9, now_s=0) == b"{22}\n{3}\n"


def test_so_many_wait_for_one_peer_and_for_all_and_no_more() -> None:
    waiting = WaitingLines(per_peer_max=2, all_max=3)
    told = [
        waiting.put(peer, b"{}", until_s=30, now_s=0)
        for peer in ("gent", "gent", "gent", "mechelen", "oostende")
    ]
    assert told == [True, True, False, True, False]
    # What was taken, or is over, makes room.
    waiting.take("gent", 1, WIDE, now_s=0)
    assert waiting.put("oostende", b"{}", until_s=60, now_s=0)
    assert not waiting.put("oostende", b"{}", until_s=60, now_s=29)
    assert waiting.put("oostende", b"{}", until_s=60, now_s=30)
