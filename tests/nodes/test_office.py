"""A treasurer keeps her group: members, limits and entries of many, acts, position."""

from typing import Any

import asyncpg
import msgspec
import pytest

from nodes.rules import HandEntry
from protocol.address import HUB
from protocol.errors import TreasurerRefusalCode
from protocol.instant import Instant
from protocol.ledger import Posting
from protocol.link import Trouble, freeze
from protocol.peer import access_store
from protocol.restored import Restored
from tests.nodes.office import Office, numbers, office
from tests.peer.federation import NewDatabase, order
from tests.peer.tables import entry_id
from tests.protocol.makers import OOSTENDE, hash_of

MEMBERS = "/api/v1/members"
LIMITS = "/api/v1/group/limits"
MASS = "/api/v1/group/mass-entries"
REASON = "meeting of May"
#: Marie is there before.
AN = {"account": "an", "name": "An Peeters", "floor": -5, "ceiling": None}


async def give(desk: Office, account: str, amount: int) -> None:
    """Put something on an account, whatever its limits."""
    await desk.node.clerk.take(
        HandEntry(
            entry_id=entry_id(next(numbers)),
            postings=(Posting("suspense", -amount), Posting(account, amount)),
            reason="to begin with",
            caller="somebody",
            key=f"give {account} {amount}",
            body_hash=hash_of("give"),
        )
    )
    assert (await desk.member(account))["balance"] == amount


# Members.


async def test_the_same_key_admits_once_and_gives_a_new_link(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        first = await desk.ask("POST", MEMBERS, AN, key="an")
        again = await desk.ask("POST", MEMBERS, AN, key="an")
        assert first.status == again.status == 201
        links = [answer.told.pop("sign_in") for answer in (first, again)]
        assert first.told == again.told
        # Only the newest of both counts.
        code = {"code": links[0].partition("#")[2]}
        assert (await desk.ask("POST", "/api/v1/tokens", code)).status == 401
        await desk.sign_in(links[1])

        other = await desk.ask("POST", MEMBERS, AN | {"floor": -6}, key="an")
        assert other.status == 422
        assert other.told["type"].endswith("idempotency-key-reused")
        taken = await desk.ask("POST", MEMBERS, AN, key="another")
        assert (taken.status, taken.told["code"]) == (409, "name-taken")
        # A no stays a no under its key, too.
        assert (await desk.ask("POST", MEMBERS, AN, key="another")) == taken
        assert (await desk.ask("POST", MEMBERS, AN)).status == 400
        assert (await desk.member("an"))["floor"] == -5
        acts = [act["deed"] for act in await desk.acts(about="an")]
        assert acts == ["sign-in-made", "sign-in-made", "member-admitted"]


async def test_a_stolen_telephone_is_signed_out(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        await desk.admit("an")
        stolen = [await desk.member_token("an") for _ in range(2)]
        marie = await desk.member_token("marie")
        link = (await desk.ask("POST", f"{MEMBERS}/an/sign-in")).told["sign_in"]
        hashed = access_store.hash_password("kept by the telephone")
        await desk.node.change(
            f"UPDATE person SET password_hash = '{hashed}' WHERE sign_in_name = 'an'"
        )
        one = f"{MEMBERS}/an/sign-ins"
        ended = await desk.ask("DELETE", one)
        assert ended == (200, {"account": "an", "ended": 3, "had_password": True})
        for token in stolen:
            assert (await desk.ask("GET", MEMBERS, token=token)).status == 401
        # Of others nothing ends.
        assert (await desk.ask("GET", MEMBERS, token=marie)).status == 403
        for body in (
            {"code": link.partition("#")[2]},
            {"name": "an", "password": "kept by the telephone"},
        ):
            again = await desk.ask("POST", "/api/v1/tokens", body, token="")
            assert again.status == 401, body
        assert (await desk.ask("DELETE", one)).told == {
            "account": "an",
            "ended": 0,
            "had_password": False,
        }
        # Who never signed in has nothing that could end, and nobody is nowhere.
        assert (await desk.ask("DELETE", f"{MEMBERS}/fund/sign-ins")).status == 404
        acts = [act for act in await desk.acts(about="an") if act["author"]]
        # What ended nothing is not noted.
        assert [act["deed"] for act in acts][:2] == ["sign-ins-ended", "sign-in-made"]
        assert acts[0]["details"] == {"ended": 3, "had_password": True}
        link = (await desk.ask("POST", f"{MEMBERS}/an/sign-in")).told["sign_in"]
        await desk.sign_in(link)


@pytest.mark.parametrize("balance", [-30, 0, 30])
async def test_who_leaves_may_leave_her_balance_to_the_fund(
    new_database: NewDatabase, balance: int
) -> None:
    async with office(new_database) as desk:
        await desk.admit("an", ceiling=None, floor=None)
        if balance:
            await give(desk, "an", balance)
        one = f"{MEMBERS}/an"
        plain = await desk.ask("PATCH", one, {"closed": True, "frozen": True})
        if balance:
            assert (plain.status, plain.told["code"]) == (422, "balance-not-zero")
        # Her limits and her freeze do not keep her here.
        wish = {"closed": True, "balance_to": "fund", "reason": "moved to Gent"}
        await desk.ask("PATCH", one, {"frozen": True, "floor": 0, "ceiling": 0})
        status, told = await desk.ask("PATCH", one, wish)
        assert (status, told["state"], told["balance"]) == (200, "closed", 0), told
        assert (await desk.node.balances()).get("fund", 0) == balance
        again = await desk.ask("PATCH", one, wish)
        assert (again.status, again.told) == (200, told)
        assert (await desk.node.balances()).get("fund", 0) == balance
        assert await desk.node.sums() == {0}

        entries = (await desk.ask("GET", "/api/v1/group/entries?text=Gent")).told
        if balance:
            (entry,) = entries["entries"]
            assert (entry["author"], entry["reason"]) == ("@treasurer", "moved to Gent")
            (act, *_) = await desk.acts(about="an")
            assert act["details"]["to_fund"] == balance
            assert act["details"]["entry"] == entry["id"]
            (change, *_) = (await desk.ask("GET", f"{one}/changes")).told["changes"]
            assert (change["state"], change["reason"]) == ("closed", "moved to Gent")
        else:
            assert entries["entries"] == []


async def test_a_wish_that_cannot_be_changes_nothing(
    new_database: NewDatabase,
) -> None:
    wishes: list[dict[str, Any]] = [
        {"closed": True, "balance_to": "fund"},
        {"closed": True, "balance_to": "fund", "reason": " "},
        {"closed": False, "balance_to": "fund", "reason": "x"},
        {"frozen": True, "balance_to": "fund", "reason": "x"},
        {"closed": True, "balance_to": "marie", "reason": "x"},
        {"reason": "only that"},
        {"floor": -1, "reason": "a\u202eb"},
    ]
    async with office(new_database) as desk:
        before = await desk.rows()
        for wish in wishes:
            answer = await desk.ask("PATCH", f"{MEMBERS}/marie", wish)
            assert answer.status == 400, (wish, answer)
        assert await desk.rows() == before


async def test_what_is_held_stays_with_who_leaves(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        await desk.node.clerk.take(order("k"))
        wish = {"closed": True, "balance_to": "fund", "reason": "leaves"}
        answer = await desk.ask("PATCH", f"{MEMBERS}/marie", wish)
        assert (answer.status, answer.told["code"]) == (422, "still-held")
        assert (await desk.member("marie"))["state"] == "active"


# Limits of many.


def listed(*lines: tuple[str, Any, Any]) -> dict[str, Any]:
    found = [{"account": one, "floor": low, "ceiling": up} for one, low, up in lines]
    return {"limits": found, "reason": REASON}


async def test_limits_of_many_are_foreseen_and_then_set(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        await desk.admit("an", "bo", "cis")
        await give(desk, "bo", -50)
        text = "account,floor,ceiling\r\nan,-200,none\r\nbo,-10,\r\ncis,-100,100\r\n"
        # As a spreadsheet ends a table below which something stood once.
        text += ",,\r\n\r\n"
        body = {"csv": f"\ufeff{text}", "reason": REASON}
        before = await desk.rows()
        status, foreseen = await desk.ask("POST", f"{LIMITS}/preview", body)
        assert status == 200
        assert await desk.rows() == before
        assert (foreseen["unchanged"], foreseen["wrong"]) == (1, [])
        assert foreseen["changed"] == [
            {
                "account": "an",
                "floor": -200,
                "ceiling": None,
                "floor_before": -100,
                "ceiling_before": 100,
                "is_outside": False,
            },
            {
                "account": "bo",
                "floor": -10,
                "ceiling": 100,
                "floor_before": -100,
                "ceiling_before": 100,
                "is_outside": True,
            },
        ]
        assert await desk.ask("POST", LIMITS, body) == (200, foreseen)
        an, bo = await desk.member("an"), await desk.member("bo")
        assert (an["floor"], an["ceiling"]) == (-200, None)
        assert (bo["floor"], bo["ceiling"], bo["balance"]) == (-10, 100, -50)
        (change, *_) = (await desk.ask("GET", f"{MEMBERS}/bo/changes")).told["changes"]
        assert (change["author"], change["reason"]) == ("@treasurer", REASON)
        told = [
            (act["deed"], act["about"], act["details"], act["reason"])
            for act in (await desk.acts())[:2]
        ]
        assert told == [
            ("limits-changed", "bo", {"floor": -10, "ceiling": 100}, REASON),
            ("limits-changed", "an", {"floor": -200, "ceiling": None}, REASON),
        ]
        # Again it changes nothing, and nothing more is noted.
        after = await desk.rows()
        status, again = await desk.ask("POST", LIMITS, body)
        assert (status, again["changed"], again["unchanged"]) == (200, [], 3)
        assert await desk.rows() == after


async def test_every_wrong_row_is_told_and_none_is_set(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        await desk.admit("an", "bo")
        text = (
            "account,floor,ceiling\n"
            "an,-1,1\n"
            "nobody,-1,1\n"
            "fund,-1,1\n"
            "bo,5,4\n"
            "an,-2,2\n"
            "bo,1.5,\n"
            "bo,-1\n"
            "BO,-1,1\n"
            f"bo,-{10**12 + 1},\n"
        )
        body = {"csv": text, "reason": REASON}
        before = await desk.rows()
        status, foreseen = await desk.ask("POST", f"{LIMITS}/preview", body)
        assert status == 200
        found = [(row["row"], row["account"], row["code"]) for row in foreseen["wrong"]]
        assert found == [
            (3, "nobody", "no-such-account"),
            (4, "fund", "no-such-account"),
            (5, "bo", "limits-crossed"),
            (6, "an", "account-twice"),
            (7, "bo", None),
            (8, "bo", None),
            (9, "BO", None),
            (10, "bo", None),
        ]
        told = [row["told"] for row in foreseen["wrong"]]
        assert "'1.5'; expected whole minor units" in told[4]
        assert "'2 columns'; expected 3" in told[5]
        dutch = {"Accept-Language": "nl"}
        answer = await desk.ask("POST", LIMITS, body, **dutch)
        assert (answer.status, answer.told["code"]) == (422, "rows-wrong")
        assert "regels" in answer.told["detail"]
        assert len(answer.told["wrong"]) == 8
        # Only what the clerk finds wrong, now.
        answer = await desk.ask("POST", LIMITS, listed(("an", 1, 1), ("no", 0, 0)))
        assert (answer.status, len(answer.told["wrong"])) == (422, 1)
        assert answer.told["wrong"][0]["row"] == 2
        assert await desk.rows() == before
        assert (await desk.member("an"))["floor"] == -100


async def test_what_are_no_limits_is_refused_whole(
    new_database: NewDatabase,
) -> None:
    both = {"csv": "account,floor\nmarie,1\n", **listed(("marie", 1, 1))}
    bodies: list[dict[str, Any]] = [
        {},
        both,
        {"reason": REASON},
        {"reason": REASON, "limits": []},
        {"reason": REASON, "limits": None},
        {"reason": "", "csv": "account,floor\nmarie,1\n"},
        {"csv": "account,floor\nmarie,1\n"},
        {"reason": REASON, "csv": ""},
        {"reason": REASON, "csv": "account,floor\n"},
        {"reason": REASON, "csv": "account,floor\n" + "x\n" * 10_001},
        {"reason": REASON, "csv": "<html><body>Sign in</body></html>"},
        {"reason": REASON, "csv": "account;floor\nmarie;1\n"},
        {"reason": REASON, "csv": 'account,floor\n"marie,1\n'},
        {
            "reason": REASON,
            "csv": "account,floor\nmarie,1\n",
            **listed(("marie", 1, 1)),
        },
        {"reason": REASON, "limits": [{"account": "marie", "floor": 1.5}]},
        {"reason": REASON, "limits": [{"account": "marie", "floor": True}]},
        {"reason": REASON, "limits": [{"account": "marie", "hue": 1}]},
        {"reason": REASON, "limits": [{"account": "Marie", "floor": 1}]},
        {"reason": REASON, "limits": [{"account": "marie", "floor": 10**12 + 1}]},
    ]
    async with office(new_database) as desk:
        before = await desk.rows()
        for body in bodies:
            for path in (LIMITS, f"{LIMITS}/preview"):
                answer = await desk.ask("POST", path, body)
                assert answer.status == 400, (body, answer)
                assert answer.told["detail"]
        assert await desk.rows() == before


# Entries of many.


async def test_a_yearly_contribution_is_foreseen_and_booked_once(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        await desk.admit("an", "bo", "cis", "dries")
        await give(desk, "an", -92)
        await desk.ask("PATCH", f"{MEMBERS}/cis", {"frozen": True})
        await desk.ask("PATCH", f"{MEMBERS}/dries", {"closed": True})
        body = {"each": -10, "reason": "contribution of 2026"}
        before = await desk.rows()
        status, foreseen = await desk.ask("POST", f"{MASS}/preview", body)
        assert status == 200, foreseen
        lines = {line["account"]: line for line in foreseen["lines"]}
        assert set(lines) == {"marie", "an", "bo"}
        assert (lines["an"]["balance_after"], lines["an"]["code"]) == (
            -102,
            "member-floor",
        )
        assert " an " in lines["an"]["told"]
        assert (lines["bo"]["balance_after"], lines["bo"]["code"]) == (-10, None)
        assert foreseen["may_be_booked"] is False
        assert (foreseen["fund_amount"], foreseen["fund_after"]) == (30, 30)
        refused = await desk.ask("POST", MASS, body, key="2026")
        assert (refused.status, refused.told["account"]) == (422, "an")
        assert await desk.rows() == before

        # An is spared; asked again, whatever has changed since, it is the same entry.
        body["accounts"] = ["marie", "bo"]
        first = await desk.ask("POST", MASS, body, key="2026 again")
        assert first.status == 400  # A key holds no space.
        first = await desk.ask("POST", MASS, body, key="2026-again")
        assert first.status == 201, first
        assert (first.told["members"], first.told["fund_amount"]) == (2, 20)
        await desk.ask("PATCH", f"{MEMBERS}/bo", {"frozen": True})
        assert await desk.ask("POST", MASS, body, key="2026-again") == first
        assert (await desk.member("bo"))["balance"] == -10
        assert (await desk.node.balances())["fund"] == 20
        (entry, *_) = (await desk.ask("GET", "/api/v1/group/entries")).told["entries"]
        assert (entry["id"], len(entry["postings"])) == (first.told["id"], 3)
        other = body | {"each": -11}
        again = await desk.ask("POST", MASS, other, key="2026-again")
        assert again.told["type"].endswith("idempotency-key-reused")
        (act, *_) = await desk.acts(about=first.told["id"])
        assert (act["deed"], act["author"]) == ("entry-booked", "@treasurer")
        assert act["details"] == {"postings": 3, "total": 20}


async def test_who_is_not_there_has_no_balance_afterwards(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        body = {"each": -10, "accounts": ["marie", "nobody"], "reason": REASON}
        status, told = await desk.ask("POST", f"{MASS}/preview", body)
        assert (status, told["may_be_booked"]) == (200, False)
        lines = {line["account"]: line for line in told["lines"]}
        assert (lines["marie"]["balance_after"], lines["marie"]["code"]) == (-10, None)
        nobody = lines["nobody"]
        assert (nobody["name"], nobody["balance_after"]) == (None, None)
        assert (nobody["amount"], nobody["code"]) == (-10, "no-such-account")


async def test_amounts_may_differ_and_the_fund_may_give(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        await desk.admit("an", "bo")
        postings = [{"account": "an", "amount": 7}, {"account": "bo", "amount": -3}]
        body = {"postings": postings, "reason": "the market"}
        foreseen = (await desk.ask("POST", f"{MASS}/preview", body)).told
        assert (foreseen["fund_amount"], foreseen["may_be_booked"]) == (-4, True)
        booked = await desk.ask("POST", MASS, body, key="market")
        assert (booked.status, booked.told["fund_amount"]) == (201, -4)
        balances = await desk.node.balances()
        assert (balances["an"], balances["bo"], balances["fund"]) == (7, -3, -4)
        # What cancels out needs no fund.
        postings[0]["amount"] = 3
        booked = await desk.ask("POST", MASS, body, key="market-2")
        assert (booked.told["fund_amount"], booked.told["members"]) == (0, 2)


async def test_what_is_no_mass_entry_books_nothing(new_database: NewDatabase) -> None:
    wishes: list[tuple[dict[str, Any], int]] = [
        ({"each": 0}, 400),
        ({"each": 1.5}, 400),
        ({"each": "10"}, 400),
        ({"each": None}, 400),
        ({"each": 10**12 + 1}, 400),
        ({"reason": ""}, 400),
        ({"reason": None}, 400),
        ({"accounts": []}, 400),
        ({"accounts": ["marie", "marie"]}, 400),
        ({"accounts": ["Marie"]}, 400),
        ({"accounts": ["fund"]}, 400),
        ({"postings": [{"account": "marie", "amount": 1}]}, 400),
        ({"preview": True}, 400),
        ({"accounts": ["nobody"]}, 422),
        ({"accounts": ["clearing"]}, 422),
        ({"accounts": ["marie", "conversion.1"]}, 422),
    ]
    async with office(new_database) as desk:
        before = await desk.rows()
        for number, (changes, status) in enumerate(wishes):
            body = {"each": -10, "reason": "x"} | changes
            answer = await desk.ask("POST", MASS, body, key=f"k{number}")
            assert answer.status == status, (changes, answer)
            foreseen = await desk.ask("POST", f"{MASS}/preview", body)
            assert foreseen.status == (400 if status == 400 else 200), foreseen
            if status == 422:
                assert foreseen.told["may_be_booked"] is False
        assert (await desk.ask("POST", MASS, {"each": 1, "reason": "x"})).status == 400
        assert await desk.rows() == before


# Position, and what is in doubt.


async def test_position_and_doubt_follow_a_payment(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:

        async def position() -> dict[str, Any]:
            status, told = await desk.ask("GET", "/api/v1/group/position")
            assert status == 200, told
            found: dict[str, Any] = told
            return found

        async def undecided(query: str = "") -> dict[str, Any]:
            told = (await desk.ask("GET", f"/api/v1/group/undecided{query}")).told
            found: dict[str, Any] = told
            return found

        for key in ("a", "b", "c"):
            await desk.node.clerk.take(order(key))
        before = await position()
        assert (before["position"], before["by_decisions"]) == (0, 0)
        assert before["may_go_out"] == 3 * 180_000
        found, cursor = [], ""
        while cursor is not None:
            page = await undecided(f"?page_size=2{cursor}")
            found += page["payments"]
            cursor = page["cursor"] and f"&cursor={page['cursor']}"
        assert len({one["id"] for one in found}) == len(found) == 3
        assert {one["account"] for one in found} == {"marie"}
        assert found[0]["payee"] == "bob@mechelen"
        assert 0 <= found[0]["age_s"] < 60
        assert found[0]["is_overdue"] is False

        await desk.federation.quiet()
        after = await position()
        assert after["position"] == after["by_decisions"] == -3 * 180_000
        assert (after["agrees"], after["may_go_out"]) == (True, 0)
        assert (after["floor"], after["ceiling"]) == (-(10**12), 10**12)
        assert (await undecided())["payments"] == []
        # What differs from what the hub has signed is seen.
        await desk.node.change("UPDATE transfer SET milliseconds = 1")
        assert (await position())["agrees"] is False


async def test_a_payment_now_that_nobody_decides_is_told_as_late(
    new_database: NewDatabase,
) -> None:
    """Its units stay held: only the hub's word moves them, whoever is away."""
    async with office(new_database) as desk:
        now = desk.node.clock.now()
        for key, ago_ms, deliver, is_late in (
            ("in time", 20_000, "now", False),
            ("late", 30_001, "now", True),
            ("patient", 30_001, "when_reachable", False),
        ):
            hub_now = Instant(now - ago_ms)
            asked = order(key.replace(" ", "-"), deliver=deliver, hub_now=hub_now)
            await desk.node.clerk.take(asked)
            one = f"/api/v1/group/transfers/{asked.transfer_id}"
            told = [
                (await desk.ask("GET", one, **{"Accept-Language": language})).told
                for language in ("nl", "fr", "en")
            ]
            assert {answer["state"] for answer in told} == {"ordered"}
            assert {answer["code"] for answer in told} == {None}
            if is_late:
                assert len({answer["told"] for answer in told}) == 3
                assert "stay held" in told[2]["told"]
            else:
                assert {answer["told"] for answer in told} == {None}
        assert (await desk.member("marie"))["held"] == 3
        # Once it is decided, nothing is late any more.
        await desk.federation.quiet()
        await desk.federation.sweep()
        await desk.federation.quiet()
        told = (await desk.ask("GET", one)).told
        assert (told["state"], told["told"]) == ("cleared", None)


async def test_who_has_not_compared_does_not_say_that_its_position_agrees(
    new_database: NewDatabase,
) -> None:
    """What crossed the link after the backup is in neither of its two figures."""
    async with office(new_database) as desk:
        clerk = desk.node.clerk

        async def told() -> tuple[object, object]:
            found = (await desk.ask("GET", "/api/v1/group/position")).told
            return found["agrees"], found["waits_for"]

        assert await told() == (True, {})
        clerk.restored = Restored(at=Instant(1), backup_at=Instant(0))
        assert await told() == (None, {HUB: "compared"})
        clerk.restored = msgspec.structs.replace(
            clerk.restored, proved=frozenset([HUB])
        )
        assert await told() == (None, {})
        clerk.restored = None
        assert await told() == (True, {})
        link = clerk.links[HUB]
        clerk.links[HUB] = freeze(link, Trouble.WE_ARE_BEHIND)
        assert await told() == (None, {HUB: "we-are-behind"})
        clerk.links[HUB] = link


async def test_a_wrong_page_is_a_400(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        for query in [
            "cursor=x",
            "cursor=1.x",
            "page_size=201",
            "page_size=0",
            "since=1",
        ]:
            for path in ("group/undecided", "group/acts"):
                answer = await desk.ask("GET", f"/api/v1/{path}?{query}")
                assert answer.status == 400, (path, query)
        far = "cursor=99999999999999.00000000-0000-0000-0000-000000000000"
        assert (await desk.ask("GET", f"/api/v1/group/undecided?{far}")).status == 200
        assert (await desk.ask("GET", "/api/v1/group/acts?about=%00")).status == 400


# Acts.


async def test_every_deed_is_noted_with_who_about_whom_and_why(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        body = {
            "postings": [
                {"account": "fund", "amount": -1},
                {"account": "marie", "amount": 1},
            ],
            "reason": "the market",
        }
        entries = "/api/v1/group/entries"
        booked = (await desk.ask("POST", entries, body, key="m")).told
        await desk.ask("POST", entries, body, key="m")
        reason = {"reason": "twice"}
        await desk.ask("POST", f"{entries}/{booked['id']}/correct", reason, key="c")
        await desk.ask("PATCH", f"{MEMBERS}/marie", {"floor": -7, "reason": "asked"})
        await desk.ask("PATCH", f"{MEMBERS}/marie", {"floor": -7})
        await desk.ask("POST", f"{MEMBERS}/marie/sign-in")
        proposal = {"per_hour": 30}
        asked = await desk.ask("POST", "/api/v1/group/proposal", proposal)
        assert asked.status == 202, asked
        pay = {
            "payer": "marie",
            "to": "bob@mechelen",
            "payee_amount": 3,
            "payer_amount_max": 9,
            "memo": "a secret",
            "deliver": "when_reachable",
        }
        paid = await desk.ask("POST", "/api/v1/group/transfers", pay, key="p")
        assert paid.status == 201, paid
        acts = await desk.acts()
        told = [
            (act["deed"], act["about"], act["author"], act["reason"]) for act in acts
        ]
        assert told == [
            ("payment-ordered", "marie", "@treasurer", None),
            ("proposal-made", "oostende", "@treasurer", None),
            ("sign-in-made", "marie", "@treasurer", None),
            ("member-changed", "marie", "@treasurer", "asked"),
            ("entry-corrected", booked["id"], "@treasurer", "twice"),
            ("entry-booked", booked["id"], "@treasurer", "the market"),
            ("person-invited", "@treasurer", None, None),
            ("member-admitted", "marie", None, None),
        ]
        assert "secret" not in str(acts)
        assert acts[0]["details"]["transfer"] == paid.told["id"]
        assert acts[3]["details"] == {"floor": -7}
        found = await desk.acts(about="marie", page_size="2")
        assert found == [acts[0], acts[2]]
        assert [act["number"] for act in await desk.acts(author="@nobody")] == []
        assert len(await desk.acts(author="@treasurer")) == 6
        page = (await desk.ask("GET", "/api/v1/group/acts?page_size=5")).told
        rest = await desk.acts(page_size="5", cursor=page["cursor"])
        assert page["acts"] + rest == acts


async def test_what_was_done_is_never_changed(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        for sql in ["UPDATE act SET author = 'x'", "DELETE FROM act"]:
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await desk.node.change(sql)


async def test_what_the_clerk_could_not_keep_is_not_noted(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        before = await desk.acts()
        refused = await desk.ask("PATCH", f"{MEMBERS}/marie", {"floor": 3001})
        code = TreasurerRefusalCode.LIMITS_CROSSED
        assert (refused.status, refused.told["code"]) == (422, code)
        pay = {
            "payer": "marie",
            "to": f"nobody@{OOSTENDE}",
            "payee_amount": 3,
            "payer_amount_max": 9,
            "memo": "",
            "deliver": "now",
        }
        refused = await desk.ask("POST", "/api/v1/group/transfers", pay, key="p")
        assert refused.status == 422
        assert await desk.acts() == before


@pytest.mark.slow
async def test_ten_thousand_members_at_once(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        await desk.node.change(
            "INSERT INTO account SELECT 'm' || n, 'member', 'unit', 0, 0, 0, -100, 100,"
            " false, false FROM generate_series(1, 9999) AS n;"
            "INSERT INTO member SELECT 'm' || n, 'M', now()"
            " FROM generate_series(1, 9999) AS n"
        )
        lines = "".join(f"m{n},-200,\n" for n in range(1, 10_000))
        body = {"csv": f"account,floor,ceiling\n{lines}", "reason": REASON}
        for path in (f"{LIMITS}/preview", LIMITS):
            status, told = await desk.ask("POST", path, body)
            assert (status, len(told["changed"])) == (200, 9_999)
        more = {"csv": f"{body['csv']}marie,-1,\nm1,-1,\n", "reason": REASON}
        assert (await desk.ask("POST", LIMITS, more)).status == 400  # One too many.
        wish = {"each": -150, "reason": "much"}
        foreseen = (await desk.ask("POST", f"{MASS}/preview", wish)).told
        assert (len(foreseen["lines"]), foreseen["may_be_booked"]) == (10_000, True)
        booked = await desk.ask("POST", MASS, wish, key="much")
        assert (booked.status, booked.told["members"]) == (201, 10_000)
        await desk.admit("one-more")
        assert (await desk.ask("POST", MASS, wish, key="much")) == booked
        assert (await desk.ask("POST", MASS, wish, key="more")).status == 400
        entry = f"/api/v1/group/entries/{booked.told['id']}"
        reason = {"reason": "too much"}
        back = await desk.ask("POST", f"{entry}/correct", reason, key="back")
        assert back.status == 201
        assert await desk.node.balances() == {}
        assert await desk.node.sums() == {0}
