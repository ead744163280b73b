"""What ``netting.json`` and ``cycles.json`` hold; ``make`` writes them."""

import json  # noqa: TID251 - another reader than ours
from collections.abc import Mapping, Sequence

import msgspec

from protocol import strict_json
from protocol.address import RESERVE
from protocol.cycle_file import verify_cycle_file, write_cycle_file
from protocol.errors import PeerError
from protocol.netting import (
    close_positions,
    compute_savings,
    default_targets,
    gather,
    make_plan,
)
from protocol.sharing import AveragePosition, ChargeRule, charges, share
from tests.peer.cycle_files import HOUR, ClosedCycle, cycle_file
from tests.peer.receipts import BRUSSEL
from tests.peer.wrong_cycle_files import WRONG
from tests.protocol.makers import FEDERATION, OOSTENDE, seed

Transfers = Sequence[tuple[str, str, int]]


def drawn(groups: int, transfers: int) -> Transfers:
    """Draw transfers that anyone can draw: each is eight bytes of a label's SHA-256."""
    found = []
    for place in range(transfers):
        raw = seed(f"transfer {place} between {groups}")
        payer, payee = raw[0] * raw[1] % groups, raw[2] * raw[3] % groups
        if payer != payee:
            amount = 1 + int.from_bytes(raw[4:8])
            found.append((f"g{payer:03}", f"g{payee:03}", amount))
    return found


def _closed(
    transfers: Transfers, opening: Mapping[str, int] | None = None
) -> dict[str, object]:
    flows = gather(transfers)
    closing = close_positions(opening or {RESERVE: 0}, flows.net())
    targets = default_targets(closing)
    plan = make_plan(closing, targets)
    return {
        "opening": opening or {RESERVE: 0},
        "savings": msgspec.to_builtins(compute_savings(flows)),
        "closing": closing,
        "targets": targets,
        "legs": [msgspec.structs.astuple(leg) for leg in plan.legs],
        "bound": plan.bound,
    }


#: The worked example of docs/protocol.md, section 18.
EXAMPLE: Transfers = [
    ("aalst", "brussel", 6 * HOUR),
    ("brussel", "gent", 5 * HOUR),
    ("gent", "aalst", 2 * HOUR),
    ("gent", "brussel", 4 * HOUR),
    ("ieper", "gent", 3 * HOUR),
    ("aalst", "ieper", 3 * HOUR),
]


def netting() -> object:
    """Transfers and what follows from them; shares and charges."""
    owed = {"aalst": -10 * HOUR, "brussel": 7 * HOUR, "gent": 0, RESERVE: 3 * HOUR}
    standings = {
        "aalst": AveragePosition(average=-700_001, floor=-1_000_000, ceiling=500_000),
        "brussel": AveragePosition(average=700_003, floor=-500_000, ceiling=1_000_000),
        "gent": AveragePosition(average=400_000, floor=-500_000, ceiling=1_000_000),
    }
    rule = ChargeRule(rate=10_000, threshold=500_000)
    weights = {"ieper": 3, "gent": 1, "aalst": 1, "brussel": 2}
    return {
        "example": {"transfers": EXAMPLE} | _closed(EXAMPLE),
        "with a reserve": {"transfers": EXAMPLE} | _closed(EXAMPLE, owed),
        "drawn": [
            {"groups": groups, "transfers": many} | _closed(drawn(groups, many))
            for groups, many in ((12, 60), (16, 300), (40, 500))
        ],
        "share": {"amount": 10, "weights": weights, "shares": share(10, weights)},
        "charge": {
            "standings": msgspec.to_builtins(standings),
            "rate": rule.rate,
            "threshold": rule.threshold,
            "charges": charges(standings, rule),
        },
    }


def cycles() -> object:
    """Cycle files that are genuine, and many that are not, with the reason.

    One that is not is the first genuine one in which whole members are replaced.
    """
    made = ClosedCycle()
    whole = json.loads(cycle_file(made))
    disputed = {OOSTENDE: {"answer": made.dispute(OOSTENDE, -4 * HOUR)}}
    silent = {BRUSSEL: {"cover": None}, OOSTENDE: {"answer": None}}
    wrong = []
    for told, (reason, make_wrong) in sorted(WRONG.items()):
        other = json.loads(make_wrong(made))
        # A lie is told with words, targets and plan of the genuine one.
        if not other["told"]:
            other |= {name: whole[name] for name in ("told", "targets", "legs")}
            other["bound"] = whole["bound"]
        changed = {name: other[name] for name in other if other[name] != whole[name]}
        _check_not_genuine(whole | changed, reason)
        wrong.append({"told": told, "replace": changed})
    return {
        "federation": FEDERATION,
        "genuine": {
            "two groups agree": cycle_file(made).decode(),
            "one disputes": write_cycle_file(made.file(disputed)).decode(),
            "few have signed": write_cycle_file(made.file(silent)).decode(),
            "one is left out": write_cycle_file(made.file(excepted=[BRUSSEL])).decode(),
        },
        "not_genuine_of": "two groups agree",
        "not_genuine": wrong,
    }


def _check_not_genuine(file: dict[str, object], reason: str) -> None:
    found = "nothing"
    try:
        verify_cycle_file(strict_json.write(file), FEDERATION)
    except PeerError as error:
        found = str(error)
    assert reason in found, (reason, found)
