"""What must hold in every state of the small exhaustive model.

As ``checker`` does, it reads rows and lines, and reckons by itself; none of this is
the product's code. A server's state is looked at alone, then each node's beside the
hub's: what a state says is drawn from its tables once, as ``Facts``.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from tests.simulator.checker import BrokenPromiseError

_OPEN = ("ordered", "taken", "offered", "accepted")
_ENDED = ("cleared", "refused")


class Transfer(NamedTuple):
    """How one server sees a transfer."""

    role: str
    state: str
    code: str | None


class Decided(NamedTuple):
    """A decision, and where both groups stood after it."""

    outcome: str
    positions: Mapping[str, int]


class Facts(NamedTuple):
    """What a server's tables say.

    Attributes:
        transfers: by id.
        moved: by transfer, account and amount of what its entry moved.
        decisions: of transfers, by id; the hub's.
        stands: by log and number, each group's position after it; the hub's.
        newest: the newest decision a node has taken, and its clearing balance then.
        sent: by peer, all items, sealed or not.
        taken: by peer, all items.
        links: by peer: sealed, acknowledged, taken.
        is_at_rest: nothing is held, open, or waits to be sealed or acknowledged.
    """

    transfers: Mapping[str, Transfer]
    moved: Mapping[str, Mapping[str, int]]
    decisions: Mapping[str, str]
    stands: Mapping[tuple[str, int], Mapping[str, int]]
    newest: tuple[tuple[str, int] | None, int]
    sent: Mapping[str, tuple[bytes, ...]]
    taken: Mapping[str, tuple[bytes, ...]]
    links: Mapping[str, tuple[int, int, int]]
    is_at_rest: bool


def demand(*, so: bool, told: str) -> None:
    """Fail when something is not so."""
    if not so:
        raise BrokenPromiseError(told)


def _stream(tables: Mapping[Any, Any], peer: str, way: str) -> tuple[bytes, ...]:
    items = tables.get(("item", peer, way), {})
    return tuple(items[number] for number in sorted(items))


def _moved(tables: Mapping[Any, Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    entries = tables.get("entry", {})
    for name, postings in tables.items():
        if isinstance(name, tuple) and name[0] == "posting":
            for sequence, (amount, _) in postings.items():
                id_ = entries[sequence]["transfer_id"]
                found.setdefault(id_, {})[name[1]] = amount
    return found


def _follow(
    server: str, tables: Mapping[Any, Any]
) -> tuple[dict[str, str], dict[tuple[str, int], dict[str, int]]]:
    """Follow the hub's log from its first line; gives outcomes and positions."""
    outcomes: dict[str, str] = {}
    stands: dict[tuple[str, int], dict[str, int]] = {}
    positions: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    rows = tables.get("decision", {}).items()
    for (log, number), (_, line) in sorted(rows, key=lambda row: row[1][0]):
        decision = msgspec.json.decode(line)
        told = f"decision {log}/{number}"
        demand(
            so=(decision["log"], decision["number"]) == (log, number)
            and number == sizes[log],
            told=f"{told} is out of its place",
        )
        sizes[log] += 1
        if decision["kind"] == "transfer":
            id_ = decision["id"]
            demand(so=id_ not in outcomes, told=f"{told}: a second one on {id_}")
            outcomes[id_] = decision["outcome"]
            row = tables["transfer"][id_]
            demand(
                so=row["state"] == decision["outcome"],
                told=f"{server} decided {decision['outcome']} and keeps {row['state']}",
            )
            if decision["outcome"] == "cleared":
                positions[row["payer_group"]] -= row["milliseconds"]
                positions[row["payee_group"]] += row["milliseconds"]
        elif decision["kind"] == "shared":
            shares = {one["group"]: one["amount"] for one in decision["shares"]}
            positions.update(shares)
            if decision["group"] is not None:
                positions[decision["group"]] -= sum(shares.values())
        stands[log, number] = dict(positions)
    return outcomes, stands


def facts_of(server: str, tables: Mapping[Any, Any]) -> Facts:
    """Read what a server's tables say, and look at all that they say alone."""
    rows = tables.get("transfer", {})
    transfers = {
        id_: Transfer(row["role"], row["state"], row["code"])
        for id_, row in rows.items()
    }
    moved = _moved(tables)
    _look_at_accounts(server, tables)
    held = _look_at_holds(server, tables)
    _look_at_entries(server, rows, moved)
    outcomes, stands = _follow(server, tables)
    links = {}
    for peer, link in tables.get("link", {}).items():
        demand(
            so=link["trouble"] is None,
            told=f"{server}: link with {peer} is {link['trouble']}",
        )
        links[peer] = link["sent"], link["acknowledged"], link["taken"]
    called = list(tables.get("alarm", {}).values())
    demand(so=not called, told=f"{server} calls people: {called}")
    sent = {peer: _stream(tables, peer, "out") for peer in links}
    clearing = tables.get("account", {}).get("clearing", {"balance": 0})
    newest = next(iter(tables.get("newest decision", {}).values()), None)
    return Facts(
        transfers=transfers,
        moved=moved,
        decisions=outcomes,
        stands=stands,
        newest=(newest, clearing["balance"]),
        sent=sent,
        taken={peer: _stream(tables, peer, "in") for peer in links},
        links=links,
        is_at_rest=not held
        and not any(one.state in _OPEN for one in transfers.values())
        and all(
            sealed == acknowledged == len(sent[peer])
            for peer, (sealed, acknowledged, _) in links.items()
        ),
    )


def _look_at_accounts(server: str, tables: Mapping[Any, Any]) -> None:
    """Sums, limits, what is set aside, and what conversion is worth."""
    out: Counter[str] = Counter()
    in_: Counter[str] = Counter()
    for hold in tables.get("hold", {}).values():
        if hold["state"] == "held":
            out[hold["debit_account"]] += hold["amount"]
            in_[hold["credit_account"]] += hold["amount"]
    sums: Counter[str] = Counter()
    for name, row in tables.get("account", {}).items():
        told = f"{server}: {name}"
        balance = row["balance"]
        sums[row["unit"]] += balance
        posted = tables.get(("posting", name), {}).values()
        demand(
            so=balance == sum(amount for amount, _ in posted),
            told=f"{told} is not the sum of its postings",
        )
        demand(
            so=(row["held_out"], row["held_in"]) == (out[name], in_[name]),
            told=f"{told} sets aside {row['held_out']} and {row['held_in']}"
            f" for holds of {out[name]} and {in_[name]}",
        )
        floor, ceiling = row["floor"], row["ceiling"]
        demand(
            so=floor is None or balance - row["held_out"] >= floor,
            told=f"{told} passes its floor",
        )
        demand(
            so=ceiling is None or balance + row["held_in"] <= ceiling,
            told=f"{told} passes its ceiling",
        )
    demand(so=not any(sums.values()), told=f"{server} sums to {dict(sums)}")


def _look_at_holds(server: str, tables: Mapping[Any, Any]) -> set[str]:
    """Exactly what is open is held; gives what is held."""
    rows = tables.get("transfer", {})
    held = {
        id_ for id_, hold in tables.get("hold", {}).items() if hold["state"] == "held"
    }
    is_open = {
        id_
        for id_, row in rows.items()
        if row["state"] in ("ordered", "offered", "accepted")
    }
    demand(
        so=held == is_open,
        told=f"{server} holds for {sorted(held)} where {sorted(is_open)} are open",
    )
    for id_, hold in tables.get("hold", {}).items():
        wanted = {"cleared": "posted", "refused": "voided"}
        state = rows[id_]["state"]
        demand(
            so=hold["state"] == wanted.get(state, "held"),
            told=f"{server}: {state} and its hold is {hold['state']}",
        )
    return held


def _look_at_entries(
    server: str, rows: Mapping[str, Any], moved: Mapping[str, Mapping[str, int]]
) -> None:
    """Exactly what was cleared was booked, and it moves what was agreed."""
    cleared = {id_ for id_, row in rows.items() if row["state"] == "cleared"}
    demand(
        so=cleared == set(moved),
        told=f"{server} booked {sorted(moved)} and cleared {sorted(cleared)}",
    )
    for id_ in cleared:
        row = rows[id_]
        time, units = row["milliseconds"], row["amount"]
        if row["role"] == "hub":
            wanted = {row["payer_group"]: -time, row["payee_group"]: time}
        else:
            if row["role"] == "payer":
                time, units = -time, -units
            version = row["payer_rate" if time < 0 else "payee_rate"]
            wanted = {
                row["account"]: units,
                f"conversion.{version}": -units,
                f"conversion.{version}.time": time,
                "clearing": -time,
            }
        demand(
            so=moved[id_] == wanted,
            told=f"{server} moved {moved[id_]} and not {wanted}",
        )


def look_at_step(server: str, before: Facts, now: Facts) -> None:
    """What was decided, booked or written in a stream stays."""
    for id_, old in before.transfers.items():
        new = now.transfers.get(id_)
        demand(so=new is not None, told=f"{server} forgets {id_}")
        demand(
            so=old.state not in _ENDED or new == old,
            told=f"{server}: {id_} goes from {old} to {new}",
        )
    for one, other in ((before.sent, now.sent), (before.taken, now.taken)):
        for peer, items in one.items():
            demand(
                so=other[peer][: len(items)] == items,
                told=f"{server} rewrites its stream with {peer}",
            )
    lost = set(before.stands) - set(now.stands)
    demand(so=not lost, told=f"{server} forgets decisions {lost}")


def look_at_pair(name: str, hub: Facts, node: Facts) -> None:
    """What a node has, beside what the hub has."""
    for giver, taker, one, other, way in (
        (hub, node, name, "hub", f"hub to {name}"),
        (node, hub, "hub", name, f"{name} to hub"),
    ):
        sent, taken = giver.sent[one], taker.taken[other]
        demand(so=sent[: len(taken)] == taken, told=f"{way}: taken and never sent")
        demand(
            so=giver.links[one][1] <= taker.links[other][2] == len(taken),
            told=f"{way}: acknowledged and not there",
        )
    for id_, transfer in node.transfers.items():
        outcome = hub.decisions.get(id_)
        told = f"{name} has {id_} {transfer.state}, and the hub: {outcome}"
        if transfer.state == "cleared":
            demand(so=outcome == "cleared", told=told)
        if transfer.state == "refused" and transfer.role == "payer":
            demand(so=outcome == "refused", told=told)
        if transfer.state == "refused":
            demand(so=outcome != "cleared", told=told)
    for id_, outcome in hub.decisions.items():
        found = node.transfers.get(id_)
        demand(
            so=found is not None or outcome == "refused",
            told=f"the hub cleared {id_}, of which {name} knows nothing",
        )
    newest, clearing = node.newest
    demand(
        so=newest is None or newest in hub.stands,
        told=f"{name} has taken a decision {newest} that the hub never made",
    )
    position = 0 if newest is None else hub.stands[newest].get(name, 0)
    demand(
        so=clearing == -position,
        told=f"{name} has {clearing} where it stands at {position}",
    )


def look_at_end(name: str, hub: Facts, node: Facts) -> None:
    """When all is quiet nothing is open, and both have all of both streams."""
    demand(so=node.is_at_rest, told=f"{name} does not come to rest")
    demand(so=hub.is_at_rest, told="the hub does not come to rest")
    demand(
        so=hub.sent[name] == node.taken["hub"] and node.sent["hub"] == hub.taken[name],
        told=f"hub and {name} have not all of each other's streams",
    )
    for id_, transfer in node.transfers.items():
        outcome = hub.decisions.get(id_)
        demand(
            so=transfer.state == outcome,
            told=f"{name} ends with {id_} {transfer.state}, and the hub: {outcome}",
        )
