"""kill -9 just before and just after every durable step, on real processes.

Each test restarts one server so that it kills itself at a step, has a member do
what leads there, sees it die of SIGKILL at that step, and starts it again. The
member's program asks again under its key, as a real one would. In the end the
payment has ended, exactly once, on ledgers that sum to zero: ``Federation.audit``.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from protocol.steps import Step
from tests.federation import kills
from tests.federation.callers import Answer, Caller
from tests.federation.kills import AFTER, BEFORE_AND_AFTER
from tests.federation.servers import Server, wait_for
from tests.federation.test_cycle_kills import TRIED
from tests.federation.world import Federation, Group, Node, Ordered, as_posted
from tests.nodes.exporters import eland_tables, eland_user, zipped

PLACES = {
    "oostende": "payer's node",
    "hub": "hub",
    "mechelen": "payee's node",
    "veere": "group's node",
}
#: Steps that nothing can lead to yet, and why; to be emptied.
UNREACHED: dict[Step, str] = {}
DESK = "/api/v1/group/proposal"


@dataclass(frozen=True)
class Play:
    """A payment, and how it must end whoever dies on the way."""

    payer: str
    to: str
    amount: int
    state: str
    code: str | None


CLEARS = Play("rik@oostende", "tom@mechelen", 3, "cleared", None)
TOO_MUCH = Play("lies@oostende", "mia@mechelen", 30_000, "refused", "payer-group-floor")
TO_NOBODY = Play("rik@oostende", "nobody@mechelen", 3, "refused", "unknown-account")

STRAIGHT = [
    (Step.ORDER, "oostende", CLEARS),
    (Step.PREPARE, "hub", CLEARS),
    (Step.PREPARE_REFUSED, "hub", TOO_MUCH),
    (Step.OFFER, "mechelen", CLEARS),
    (Step.OFFER_REFUSED, "mechelen", TO_NOBODY),
    (Step.ACCEPT, "hub", CLEARS),
    (Step.REFUSE, "hub", TO_NOBODY),
    (Step.DECISION_CLEARED, "oostende", CLEARS),
    (Step.DECISION_CLEARED, "mechelen", CLEARS),
    (Step.DECISION_REFUSED, "oostende", TOO_MUCH),
]
AT_START = [
    (step, victim)
    for victim in ("oostende", "hub", "mechelen")
    for step in (Step.COMPARE, Step.SEAL, Step.SEND)
    if (step, victim) != (Step.SEND, "hub")  # The hub only answers.
]
#: What leads to a new rate, or to the regional admin's no.
APPROVED = [
    (Step.PROPOSE, "veere"),
    (Step.PROPOSAL, "hub"),
    (Step.DIRECTORY, "hub"),
    (Step.OWN_ENTRY, "veere"),
]
NOT_APPROVED = [(Step.PROPOSAL_REFUSED, "hub"), (Step.PROPOSAL_ANSWERED, "veere")]
#: What leads to a group that is leaving, or to the hub's no.
LEAVING = [(Step.LEAVE_WISH, "veere"), (Step.LEAVE_REFUSED, "veere")]
OWN_KEYS = "/api/v1/group/own-keys"
KEYS_CHANGED = [
    (Step.NEW_KEYS, "veere"),
    (Step.KEY_CHANGE, "veere"),
    (Step.KEYS, "hub"),
]
KEYS_RECOVERED = [(Step.NEW_KEYS, "command"), (Step.RECOVERY, "command")]
OTHERS = [
    *((Step.EXPIRE, "hub"), (Step.DECISION_REFUSED, "mechelen")),
    *((Step.CANCEL_WISH, "oostende"), (Step.CANCEL, "hub")),
    *((Step.ADMIT, "hub"), (Step.JOIN, "command"), (Step.MEMBER, "command")),
    *((Step.ENTRY, "oostende"), (Step.CORRECTION, "oostende")),
    *((Step.CONSENT, "hub"), (Step.INVITE, "hub")),
    # In test_backup, on a federation of its own.
    *((Step.RESTORE, "command"), (Step.GO_ON, "oostende")),
    (Step.MOVE_IN, "command"),
    (Step.CAP, "hub"),
    # In test_cycle_kills, where one cycle leads through several of them.
    *TRIED,
]


@pytest.fixture(autouse=True)
def audited(federation: Federation) -> None:
    """Begin each test with everything running, quiet and right."""
    federation.wait_compared()


def see_killed(federation: Federation, step: Step, when: str, victim: str) -> None:
    """Wait until the victim has really died at its step, and start it again."""
    server = federation.server(victim)
    assert server.kill_at == f"{step}:{when}"
    server.wait_killed()
    kills.note(step, when, PLACES[victim])
    server.start()


def check(federation: Federation, ordered: Ordered, play: Play) -> None:
    """The payment ended as it must, and so did everything before it."""
    ended = federation.end_of(ordered)
    assert (ended["state"], ended["code"]) == (play.state, play.code)
    # The same order once more is no second one.
    federation.wait_ready()
    assert ordered.payer.pay(ordered.order) == ordered.answer
    assert ordered.payer.pay(ordered.order, wait_s=5) == (201, as_posted(ended))
    federation.audit()


@BEFORE_AND_AFTER
@pytest.mark.parametrize(("step", "victim", "play"), STRAIGHT)
def test_killed_on_the_way(
    federation: Federation, step: Step, victim: str, play: Play, when: str
) -> None:
    federation.server(victim).restart(kill_at=f"{step}:{when}")
    if victim == "hub":
        # Before that it keeps a refusal for later, which is another step.
        federation.wait_compared()
    with ThreadPoolExecutor() as client:
        paying = client.submit(federation.pay, play.payer, play.to, play.amount)
        see_killed(federation, step, when, victim)
        check(federation, paying.result(), play)


@BEFORE_AND_AFTER
@pytest.mark.parametrize(("step", "victim"), AT_START)
def test_killed_while_a_payment_waits_for_it(
    federation: Federation, step: Step, victim: str, when: str
) -> None:
    hub, oostende = federation.hub, federation.server("oostende")
    mechelen, play = federation.server("mechelen"), CLEARS
    kill_at = {victim: f"{step}:{when}"}
    # Whoever compares must meet a life that is new to it, so two begin anew.
    hub.kill()
    if victim == "mechelen":
        mechelen.kill()
    else:
        oostende.restart(kill_at=kill_at.get("oostende", ""))
    ordered = federation.pay(play.payer, play.to, play.amount)
    hub.start(kill_at=kill_at.get("hub", ""))
    if victim == "mechelen":
        mechelen.start(kill_at=kill_at[victim])
    see_killed(federation, step, when, victim)
    check(federation, ordered, play)


def wait_sent(federation: Federation, ordered: Ordered) -> None:
    """Wait until the hub has taken an order's prepare."""
    payer, transfer_id = ordered.payer, ordered.transfer_id
    assert transfer_id is not None
    wait_for(
        lambda: payer.transfer(transfer_id)["state"] == "sent", "the hub's thanks", 20
    )


def put_clock_forward(hub: Server, ordered: Ordered) -> None:
    """Have the hub's clock begin after a deadline, instead of waiting for it."""
    decide_by = datetime.fromisoformat(ordered.answer.told["decide_by"])
    ahead = decide_by - datetime.now(UTC) + timedelta(seconds=0.5)
    # Peers take covers of up to five minutes ahead: all tests together need less.
    hub.clock_offset_ms = max(hub.clock_offset_ms, ahead // timedelta(milliseconds=1))


LATE = Play("rik@oostende", "tom@mechelen", 3, "refused", "payee-unreachable")


@BEFORE_AND_AFTER
def test_killed_while_it_decides_that_time_is_up(
    federation: Federation, when: str
) -> None:
    hub, mechelen = federation.hub, federation.server("mechelen")
    mechelen.kill()
    ordered = federation.pay(LATE.payer, LATE.to, LATE.amount, deliver="now")
    wait_sent(federation, ordered)
    hub.kill()
    put_clock_forward(hub, ordered)
    hub.start(kill_at=f"{Step.EXPIRE}:{when}")
    # The hub decides nothing, not even this, before both have compared.
    mechelen.start()
    see_killed(federation, Step.EXPIRE, when, "hub")
    check(federation, ordered, LATE)


@BEFORE_AND_AFTER
def test_killed_while_the_payee_s_node_gives_a_hold_back(
    federation: Federation, when: str
) -> None:
    hub, mechelen = federation.hub, federation.server("mechelen")
    mechelen.restart(kill_at=f"{Step.OFFER}:after")
    federation.wait_compared("mechelen")
    ordered = federation.pay(LATE.payer, LATE.to, LATE.amount, deliver="now")
    # It has accepted, and nobody has heard of it yet.
    mechelen.wait_killed()
    hub.kill()
    put_clock_forward(hub, ordered)
    hub.start()
    hub.wait_ready()
    mechelen.start(kill_at=f"{Step.DECISION_REFUSED}:{when}")
    see_killed(federation, Step.DECISION_REFUSED, when, "mechelen")
    check(federation, ordered, LATE)


@BEFORE_AND_AFTER
@pytest.mark.parametrize(
    ("step", "victim"), [(Step.CANCEL_WISH, "oostende"), (Step.CANCEL, "hub")]
)
def test_killed_while_a_payment_is_called_off(
    federation: Federation, step: Step, victim: str, when: str
) -> None:
    federation.server(victim).restart(kill_at=f"{step}:{when}")
    federation.wait_compared()
    federation.server("mechelen").kill()
    play = Play("rik@oostende", "tom@mechelen", 3, "refused", "cancelled")
    ordered = federation.pay(play.payer, play.to, play.amount)
    wait_sent(federation, ordered)
    assert ordered.transfer_id is not None
    with ThreadPoolExecutor() as client:
        cancelling = client.submit(ordered.payer.cancel_surely, ordered.transfer_id)
        see_killed(federation, step, when, victim)
        assert cancelling.result().status == 202
    federation.wait_compared("oostende")
    federation.server("mechelen").start()
    check(federation, ordered, play)


def found(federation: Federation, name: str) -> Node:
    """Make a group's node that has joined nothing yet."""
    members: dict[str, tuple[int | None, int | None]] = {"els": (None, None)}
    return federation.new_node(Group(name, "stropke", 60, -10, 10, members))


def check_member(federation: Federation, node: Node) -> None:
    """The new group trades like any other; then it goes to sleep."""
    name = node.group.name
    try:
        federation.open(node)
        federation.wait_compared(name)
        assert federation.groups()[name]["floor"] == -10 * 3_600_000
        paid = federation.pay("rik@oostende", f"els@{name}", 3)
        assert federation.end_of(paid)["state"] == "cleared"
        federation.audit()
    finally:
        federation.nodes.pop(name, None)
        node.server.kill()


@AFTER
def test_killed_while_it_admits_a_group(federation: Federation, when: str) -> None:
    federation.hub.restart(kill_at=f"{Step.ADMIT}:{when}")
    node = found(federation, f"admitted-{when}")
    invitation = federation.invite(node.group)
    refused = node.server.command(*federation.joining(node.group), given=invitation)
    # "Try again", as sysexits has it.
    assert refused.returncode == 75, refused
    see_killed(federation, Step.ADMIT, when, "hub")
    federation.hub.wait_ready()
    node.server.run(*federation.joining(node.group), given=invitation)
    node.server.run("member", "import", "-", given=federation.members_file(node.group))
    check_member(federation, node)


@AFTER
def test_killed_while_it_notes_what_it_has_joined(
    federation: Federation, when: str
) -> None:
    node = found(federation, f"joined-{when}")
    words, invitation = federation.joining(node.group), federation.invite(node.group)
    killed = node.server.command(
        *words, given=invitation, kill_at=f"{Step.JOIN}:{when}"
    )
    assert killed.returncode == -9, killed
    kills.note(Step.JOIN, when, "command")
    # The sheet that nobody has seen yet is shown now, once, and kept no longer.
    assert len(node.server.run(*words, given=invitation)["recovery_sheet"]) > 60
    once_more = node.server.command(*words, given=invitation)
    assert once_more.returncode == 1, once_more
    assert "has joined" in once_more.stderr
    node.server.run("member", "import", "-", given=federation.members_file(node.group))
    check_member(federation, node)


@AFTER
def test_killed_while_it_admits_members(federation: Federation, when: str) -> None:
    node = found(federation, f"members-{when}")
    invitation = federation.invite(node.group)
    node.server.run(*federation.joining(node.group), given=invitation)
    members = federation.members_file(node.group)
    words = ("member", "import", "-")
    killed = node.server.command(*words, given=members, kill_at=f"{Step.MEMBER}:{when}")
    assert killed.returncode == -9, killed
    kills.note(Step.MEMBER, when, "command")
    again = node.server.run(*words, given=members)
    assert again["added"] == (1 if when == "before" else 0)
    # That she can sign in is seen when the group trades.
    check_member(federation, node)


@AFTER
def test_killed_while_a_group_moves_in(
    federation: Federation, tmp_path: Path, when: str
) -> None:
    node = found(federation, f"moved-{when}")
    invitation = federation.invite(node.group)
    node.server.run(*federation.joining(node.group), given=invitation)
    # Els brings no past: federation.audit compares her history with her payments.
    users = [
        eland_user(1, "ELS", "Els", minlimit=None, maxlimit=None),
        eland_user(2, "ANN", "Ann", saldo=-5),
        eland_user(3, "GENT", "Gent", saldo=5, accountrole="interlets"),
    ]
    file = tmp_path / "db.zip"
    past = [("2020-02-03 04:05:06", 2, 3, 5, "naar Gent")]
    file.write_bytes(zipped(eland_tables(users, past)))
    words = ("import", str(file), "--difference-to-fund", "--confirm")
    killed = node.server.command(*words, kill_at=f"{Step.MOVE_IN}:{when}")
    assert killed.returncode == -9, killed
    kills.note(Step.MOVE_IN, when, "command")
    again = node.server.run(*words)
    if when == "before":
        assert again["imported"] == "everything"
    else:
        assert "was brought in here" in again["imported"]
    members = node.server.run("member", "list")
    assert {one: told["balance"] for one, told in members.items()} == {
        "ann": -5,
        "els": 0,
    }
    # What she signs in with; she herself is there already.
    node.server.run("member", "import", "-", given=federation.members_file(node.group))
    check_member(federation, node)


@AFTER
def test_killed_while_it_keeps_a_cap(federation: Federation, when: str) -> None:
    # More than anybody pays, for a pair that nobody caps.
    milliseconds = 10**13 + len(when)
    path, body = "/api/v1/caps/aalst/oostende", {"milliseconds": milliseconds}
    federation.hub.restart(kill_at=f"{Step.CAP}:{when}")
    federation.wait_compared()
    with ThreadPoolExecutor() as admin:
        setting = admin.submit(
            federation.admin.ask_surely, "POST", path, {**body, "reason": "a trial"}
        )
        see_killed(federation, Step.CAP, when, "hub")
        made = setting.result()
    assert (made.status, made.told["milliseconds"]) == (200, milliseconds)
    changes = federation.admin.get("/api/v1/groups/aalst/limits")["changes"]
    assert [one["milliseconds"] for one in changes].count(milliseconds) == 1
    ended = federation.admin.ask_surely("POST", f"{path}/remove", {"reason": "over"})
    assert (ended.status, ended.told) == (200, {"caps": []})
    federation.audit()


ENTRIES = "/api/v1/group/entries"
MEMBERS = "/api/v1/members"
#: No member's account, for the audit counts what members were told of payments.
BY_HAND = [{"account": "fund", "amount": -7}, {"account": "suspense", "amount": 7}]


def booked(treasurer: Caller, text: str) -> list[tuple[str, str | None]]:
    """Kind of each entry with this reason, newest first, and what it corrects."""
    found = treasurer.get(f"{ENTRIES}?text={text}")["entries"]
    return [(entry["kind"], entry["corrects"]) for entry in found]


@BEFORE_AND_AFTER
@pytest.mark.parametrize("step", [Step.ENTRY, Step.CORRECTION])
def test_killed_while_a_treasurer_books(
    federation: Federation, step: Step, when: str
) -> None:
    treasurer, reason = federation.nodes["oostende"].treasurer, f"{step}-{when}"
    assert treasurer is not None
    body, key = {"postings": BY_HAND, "reason": reason}, f"hand-{reason}"
    first = None
    if step is Step.CORRECTION:
        first = treasurer.ask_surely("POST", ENTRIES, body, key=key)
    federation.server("oostende").restart(kill_at=f"{step}:{when}")
    path, wish, expected = ENTRIES, body, [("by-hand", None)]
    if first is not None:
        entry_id = first.told["id"]
        path, wish, key = f"{ENTRIES}/{entry_id}/correct", {"reason": reason}, "again"
        key, expected = f"{key}-{reason}", [("correction", entry_id), *expected]
    with ThreadPoolExecutor() as client:
        booking = client.submit(treasurer.ask_surely, "POST", path, wish, key=key)
        see_killed(federation, step, when, "oostende")
        answer = booking.result()
    assert answer.status == 201, answer
    assert treasurer.ask_surely("POST", path, wish, key=key) == answer
    assert booked(treasurer, reason) == expected
    federation.audit()


@AFTER
def test_killed_while_a_treasurer_admits_a_member(
    federation: Federation, when: str
) -> None:
    treasurer, name = federation.nodes["oostende"].treasurer, f"killed-{when}"
    assert treasurer is not None
    federation.server("oostende").restart(kill_at=f"{Step.MEMBER}:{when}")
    body = {"account": name, "name": "An", "floor": -5, "ceiling": 5}
    with ThreadPoolExecutor() as client:
        admitting = client.submit(treasurer.ask_surely, "POST", MEMBERS, body, key=name)
        see_killed(federation, Step.MEMBER, when, "oostende")
        assert admitting.result().status == 201
    # Whoever has not seen the first link gets another.
    again = treasurer.ask_surely("POST", f"{MEMBERS}/{name}/sign-in")
    assert again.status == 201
    assert len(treasurer.get(f"{MEMBERS}/{name}/changes")["changes"]) == 1
    # What was done and who did it are there together or not at all, once.
    acts = treasurer.get(f"/api/v1/group/acts?about={name}")["acts"]
    assert [act["deed"] for act in acts].count("member-admitted") == 1
    federation.audit()


@pytest.fixture(scope="module")
def veere(founded: Federation) -> Iterator[Node]:
    """A group whose rate nobody else counts on; it sleeps when all is tried."""
    founded.heal()
    node = found(founded, "veere")
    founded.join(node)
    founded.open(node)
    try:
        yield node
    finally:
        founded.nodes.pop("veere", None)
        node.server.kill()


def decide(federation: Federation, word: str) -> Answer:
    """Have the regional admin decide on what waits, as soon as it may be."""
    path = "/api/v1/groups/veere"

    def waiting() -> dict[str, Any] | None:
        proposal: dict[str, Any] | None = federation.admin.ask_surely("GET", path).told[
            "proposal"
        ]
        return proposal

    wait_for(waiting, "a proposal to wait", 30)
    proposal = waiting()
    assert proposal is not None
    wish = {"proposal": proposal["number"]}
    answers: list[Answer] = []

    def is_decided() -> bool:
        # 409: the group has not compared since the hub's start.
        answers[:] = [federation.admin.ask_surely("POST", f"{path}/{word}", wish)]
        return answers[0].status != 409

    wait_for(is_decided, "the proposal to be decided", 30)
    return answers[0]


def see_veere_trade(federation: Federation) -> None:
    """See a group that was changed pay and be paid, and every ledger sound."""
    federation.wait_compared()
    paid = [
        federation.pay("els@veere", "tom@mechelen", 3),
        federation.pay("rik@oostende", "els@veere", 3),
    ]
    for ordered in paid:
        assert federation.end_of(ordered)["state"] == "cleared"
    federation.audit()


@AFTER
@pytest.mark.parametrize(
    ("word", "step", "victim"),
    [
        *(("approve", *place) for place in APPROVED),
        *(("refuse", *place) for place in NOT_APPROVED),
    ],
)
def test_killed_while_a_rate_is_asked_for_and_decided(
    federation: Federation, veere: Node, word: str, step: Step, victim: str, when: str
) -> None:
    assert veere.treasurer is not None
    desk, before = veere.treasurer, veere.treasurer.get(DESK)
    per_hour = 30 if before["rate"]["per_hour"] != "30" else 45
    federation.server(victim).restart(kill_at=f"{step}:{when}")
    federation.wait_compared()
    with ThreadPoolExecutor() as people:
        asking = people.submit(desk.ask_surely, "POST", DESK, {"per_hour": per_hour})
        deciding = people.submit(decide, federation, word)
        see_killed(federation, step, when, victim)
        # 200: it was approved before it came again, its answer having been lost.
        assert asking.result().status in (200, 202)
        assert deciding.result().status == 200
    state, version, rate = "approved", before["version"] + 1, str(per_hour)
    if word == "refuse":
        state, version, rate = "refused", before["version"], before["rate"]["per_hour"]
    wait_for(
        lambda: desk.ask_surely("GET", DESK).told["proposal"]["state"] == state,
        "the node to hear what was decided",
        30,
    )
    after = desk.get(DESK)
    assert (after["version"], after["rate"]["per_hour"]) == (version, rate)
    see_veere_trade(federation)


AT_LEAVING = "/api/v1/group/leaving"


def decide_surely(federation: Federation, verb: str, state: str) -> None:
    """Have the regional admin decide on Veere, as soon as it may be."""
    path = f"/api/v1/groups/veere/{verb}"

    def is_decided() -> bool:
        answer = federation.admin.ask_surely("POST", path)
        assert answer.status in (200, 409), answer
        return answer.status == 200 and bool(answer.told["state"] == state)

    wait_for(is_decided, f"{verb} to be decided", 30)


@BEFORE_AND_AFTER
@pytest.mark.parametrize(
    ("step", "victim"),
    [LEAVING[0], pytest.param(*LEAVING[1], marks=pytest.mark.slow)],
)
def test_killed_while_a_group_wishes_to_leave(
    federation: Federation, veere: Node, step: Step, victim: str, when: str
) -> None:
    desk, reason = veere.treasurer, {"reason": "our meeting of June"}
    assert desk is not None
    is_refused = step is Step.LEAVE_REFUSED
    veere.server.restart(kill_at=f"{step}:{when}")
    federation.wait_compared()
    if is_refused:
        # Wished before it has heard that it was frozen.
        federation.hub.kill()
        assert desk.ask_surely("POST", AT_LEAVING, reason).status == 202
        veere.server.freeze()
        federation.hub.start()
        federation.hub.wait_ready()
        decide_surely(federation, "freeze", "frozen")
        veere.server.thaw()
        see_killed(federation, step, when, victim)
    else:
        with ThreadPoolExecutor() as people:
            asking = people.submit(desk.ask_surely, "POST", AT_LEAVING, reason)
            see_killed(federation, step, when, victim)
            # 200: the hub had answered before it came again.
            assert asking.result().status in (200, 202)
    expected = "refused" if is_refused else "begun"

    def is_answered() -> bool:
        wish = desk.ask_surely("GET", AT_LEAVING).told["wish"]
        return wish is not None and bool(wish["state"] == expected)

    wait_for(is_answered, "the wish to be answered", 30)
    decide_surely(federation, "release" if is_refused else "stay", "active")
    wait_for(
        lambda: desk.ask_surely("GET", AT_LEAVING).told["state"] == "active",
        "the node to hear of it",
        30,
    )
    acts = desk.get("/api/v1/group/acts")["acts"]
    noted = [act for act in acts if act["deed"] == "leaving-asked"]
    assert len(noted) == len({act["at"] for act in noted})
    federation.wait_compared()
    paid = federation.pay("els@veere", "tom@mechelen", 3)
    assert federation.end_of(paid)["state"] == "cleared"
    federation.audit()


@AFTER
def test_killed_while_two_admins_agree(federation: Federation, when: str) -> None:
    hub = federation.hub
    hub.run("admin", "add", "@ann")
    try:
        hub.run("group", "freeze", "aalst")
        ask = ("group", "release", "aalst")
        for words in (ask, ("consent", "give", "--as", "@ann")):
            hub.restart(kill_at=f"{Step.CONSENT}:{when}")
            federation.wait_compared()
            number = hub.run("consent", "list")["consents"]
            named = (*words, str(number[0]["number"])) if words != ask else words
            # "Try again", as sysexits has it: it may have been done, or not.
            assert hub.command(*named).returncode == 75
            see_killed(federation, Step.CONSENT, when, "hub")
            federation.wait_compared()
            hub.run(*named)
            states = [one["state"] for one in hub.run("consent", "list")["consents"]]
            assert states[0] == ("asked" if words == ask else "done")
            assert states.count("asked") == (1 if words == ask else 0)
        assert hub.run("group", "show", "aalst")["state"] == "active"
        see_invited_by_two(federation, when)
    finally:
        if not hub.is_running:
            hub.start()
        hub.wait_ready()
        hub.run("admin", "remove", "@ann")
    paid = federation.pay("els@aalst", "tom@mechelen", 3)
    assert federation.end_of(paid)["state"] == "cleared"
    federation.audit()


def see_invited_by_two(federation: Federation, when: str) -> None:
    """A link that got lost with its hub is made anew at the same word."""
    hub, group = federation.hub, f"lost-{when}"
    asked = hub.run("invite", group)
    assert asked["invitation"] is None
    give = ("consent", "give", "--as", "@ann", str(asked["asked"]))
    hub.restart(kill_at=f"{Step.INVITE}:{when}")
    federation.wait_compared()
    assert hub.command(*give).returncode == 75
    see_killed(federation, Step.INVITE, when, "hub")
    federation.wait_compared()
    done = hub.run(*give)
    assert (done["state"], done["invitation"]["group"]) == ("done", group)
    open_ones = federation.admin.get("/api/v1/invitations")["invitations"]
    assert [one["group"] for one in open_ones].count(group) == 1


def see_new_keys(federation: Federation, node: Node, before: dict[str, Any]) -> None:
    """The group has other keys than before, by one decision, and goes on trading."""
    desk = node.treasurer
    assert desk is not None
    told: dict[str, Any] = {}

    def has_changed() -> bool:
        told.update(desk.ask_surely("GET", OWN_KEYS).told)
        return bool(told["version"] > before["version"])

    wait_for(has_changed, "the hub's decision on the keys", 60)
    assert told["version"] == before["version"] + 1
    assert told["signing"] == told["renewal"]["signing"] != before["signing"]
    assert told["sealing"] != before["sealing"]
    assert told["recovery"] == before["recovery"]
    assert told["renewal"]["state"] == "approved"
    see_veere_trade(federation)


def test_killed_again_and_again_while_a_group_changes_its_keys(
    federation: Federation, veere: Node
) -> None:
    """One change leads through all of it: the hub takes one an hour."""
    desk = veere.treasurer
    assert desk is not None
    before = desk.get(OWN_KEYS)
    deaths: dict[str, list[tuple[Step, str]]] = {}
    for step, victim in KEYS_CHANGED:
        deaths.setdefault(victim, []).extend([(step, "before"), (step, "after")])
    for victim, places in deaths.items():
        step, when = places[0]
        federation.server(victim).restart(kill_at=f"{step}:{when}")
    federation.wait_compared()
    wish = {"version": before["version"], "reason": "once a year"}
    with ThreadPoolExecutor() as people:
        asking = people.submit(desk.ask_surely, "POST", OWN_KEYS, wish, within_s=120)
        for victim, places in deaths.items():
            server = federation.server(victim)
            next_ones = [f"{step}:{when}" for step, when in places[1:]]
            for (step, when), then in zip(places, [*next_ones, ""], strict=True):
                server.wait_killed()
                kills.note(step, when, PLACES[victim])
                server.start(kill_at=then)
        # 409: it was done before its answer was lost, and is not done twice.
        assert asking.result().status in (202, 409)
    see_new_keys(federation, veere, before)


@AFTER
@pytest.mark.parametrize(("step", "place"), KEYS_RECOVERED)
def test_killed_while_somebody_types_the_recovery_sheet(
    federation: Federation, veere: Node, step: Step, place: str, when: str
) -> None:
    assert veere.treasurer is not None
    before = veere.treasurer.get(OWN_KEYS)
    veere.server.stop()
    if when == "after":
        for file in (veere.server.config.parent / "data" / "keys").glob("*.key"):
            file.unlink()
    words = ("keys", "recover", "--reason", "the disk broke")
    killed = veere.server.command(*words, given=veere.sheet, kill_at=f"{step}:{when}")
    assert killed.returncode == -9, killed
    kills.note(step, when, place)
    assert veere.server.run(*words, given=veere.sheet)["state"] == "waiting"
    veere.server.start()
    veere.server.wait_ready()
    see_new_keys(federation, veere, before)


def test_every_step_is_killed_or_the_reason_is_told() -> None:
    about_keys = (*KEYS_CHANGED, *KEYS_RECOVERED)
    groups = (*APPROVED, *NOT_APPROVED, *LEAVING, *about_keys)
    places = (*STRAIGHT, *AT_START, *groups, *OTHERS)
    tried = {step for step, *_ in places}
    assert tried | set(UNREACHED) == set(Step)
    assert not tried & set(UNREACHED)
