"""A second verifier of cycle files, and a second planner: from the pages alone.

Written from docs/verify.md, section 11, and docs/protocol.md, section 18, on top of
``second_verifier``; it shares no line with ``protocol``. Steps are the pages'.
``tests/peer/test_second_cycle_verifier.py`` asks both about the same files and the
same positions.
"""

import hashlib
from functools import lru_cache

from tests import second_verifier as parts
from tests.second_verifier import (
    COUNT,
    GROUP,
    HASH,
    LEAF,
    LIFE,
    NUMBER,
    PROOF,
    SIGNED,
    TIME,
    Found,
    Group,
    item,
    letters,
    need,
    open_file,
    prove_decision,
    sha,
    utf8,
)

# fmt: off
FIGURES = {
    "opening": SIGNED, "debits": COUNT, "credits": COUNT, "count": COUNT,
    "closing": SIGNED, "digest": HASH,
}
NAME = {"log": LIFE, "number": COUNT}
CLOSE = {
    "type": {"decision"}, "log": LIFE, "number": COUNT, "kind": {"cycle"}, "at": TIME,
    "cycle": NUMBER, "former": ("null", NAME), "groups": COUNT, "statements": HASH,
    "reserve": SIGNED,
}
STATEMENT = {
    "type": {"cycle.statement"}, "group": GROUP, "cycle": NUMBER,
    "former": ("null", NAME), "to": NAME, **FIGURES, "held_out": COUNT,
    "held_in": COUNT,
}
AGREE = {"type": {"cycle.agree"}, "cycle": NUMBER, "statement": HASH}
DISPUTE = AGREE | {"type": {"cycle.dispute"}} | FIGURES
LINE = {
    "entry": str, "statement": ("null", str), "answer": ("null", PROOF),
    "cover": ("null", str),
}
LEG = {"debtor": str, "creditor": str, "milliseconds": (-(2**70), 2**70)}
CYCLE = {
    "told": [str, 0, parts.MAX], "v": (1, 1), "federation": parts.FEDERATION,
    "statement": str, "checkpoint": str, "decision": LEAF,
    "groups": [LINE, 0, parts.MAX], "excepted": [GROUP, 0, parts.MAX],
    "targets": [{"group": GROUP, "milliseconds": SIGNED}, 0, parts.MAX],
    "legs": [LEG, 0, parts.MAX], "bound": COUNT,
}
# fmt: on


# Protocol, section 18: targets and plan.

Legs = list[tuple[str, str, int]]


def shared(amount: int, weights: dict[str, int]) -> dict[str, int]:
    """Each the whole part of its quota; the rest to the largest remainders."""
    whole = sum(weights.values())
    found = {name: amount * weights[name] // whole for name in weights}
    order = sorted(weights, key=lambda name: (-(amount * weights[name] % whole), name))
    for name in order[: amount - sum(found.values())]:
        found[name] += 1
    return found


def targets_of(
    positions: dict[str, int], excepted: tuple[str, ...] = ()
) -> dict[str, int]:
    stay = {name: positions[name] for name in ("reserve", *excepted)}
    has = sum(stay.values())
    other_side = {
        name: abs(position)
        for name, position in positions.items()
        if name not in stay and position * has < 0
    }
    kept = shared(abs(has), other_side) if has else {}
    side = -1 if has > 0 else 1
    others = {name: side * kept.get(name, 0) for name in positions}
    return {name: (others | stay)[name] for name in sorted(positions)}


def plan(positions: dict[str, int], targets: dict[str, int]) -> tuple[Legs, int]:
    needs = {name: positions[name] - targets[name] for name in sorted(positions)}
    needs = {name: lack for name, lack in needs.items() if lack}
    blocks = []
    for debtor in [name for name, lack in needs.items() if lack < 0]:
        equal = (name for name, lack in needs.items() if lack == -needs[debtor])
        creditor = next(equal, None)
        if creditor is not None:
            blocks.append({name: needs.pop(name) for name in (debtor, creditor)})
    pairs, left = len(blocks), len(needs)
    debtors = sum(lack < 0 for lack in needs.values())
    if 16 < left <= 1000:
        blocks += threes(needs)
    if len(needs) > 16:
        blocks.append(needs)
    else:
        blocks += best_split(needs)
    legs = sorted(leg for block in blocks for leg in largest_pays(dict(block)))
    if left <= 16:
        return legs, len(legs)
    return legs, pairs + max(debtors, left - debtors, left - left // 3)


def threes(needs: dict[str, int]) -> list[dict[str, int]]:
    found = []
    for sign in (-1, 1):
        for one in [name for name, lack in needs.items() if lack * sign > 0]:
            remembered: dict[int, str] = {}
            for two in [name for name, lack in needs.items() if lack * sign < 0]:
                three = remembered.get(-needs[one] - needs[two])
                if three is not None:
                    found.append({name: needs.pop(name) for name in (one, two, three)})
                    break
                remembered.setdefault(needs[two], two)
    return found


def best_split(needs: dict[str, int]) -> list[dict[str, int]]:
    @lru_cache(None)
    def most(names: frozenset[str]) -> int:
        if not names:
            return 0
        return max(most(names - {name}) for name in names) + is_even(names)

    def is_even(names: frozenset[str]) -> bool:
        return sum(needs[name] for name in names) == 0

    blocks: list[dict[str, int]] = []
    left = frozenset(needs)
    while left:
        if is_even(left):
            blocks.append({})
        wanted = most(left) - is_even(left)
        first = next(name for name in sorted(left) if most(left - {name}) == wanted)
        blocks[-1][first] = needs[first]
        left -= {first}
    return blocks


def largest_pays(block: dict[str, int]) -> Legs:
    legs = []
    while any(block.values()):
        debtor = min(block, key=lambda name: (block[name], name))
        creditor = min(block, key=lambda name: (-block[name], name))
        amount = min(-block[debtor], block[creditor])
        legs.append((debtor, creditor, amount))
        block[debtor] += amount
        block[creditor] -= amount
    return legs


# Verify, section 11: the file.


def verify_cycle(raw: bytes, federation: str) -> list[str]:
    """Give the words of a genuine cycle file, or raise ``NotGenuineError``."""
    file = open_file(raw, CYCLE, 64 * 1024 * 1024)
    expected = prove_cycle(file, federation)
    need(file["told"] == expected, "told")
    return expected


def tree_root(lines: list[str]) -> str:
    def root(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return hashlib.sha256(b"\x00" + leaves[0]).digest()
        k = 1
        while 2 * k < len(leaves):
            k *= 2
        return hashlib.sha256(b"\x01" + root(leaves[:k]) + root(leaves[k:])).digest()

    return letters(root([utf8(line) for line in lines])) if lines else sha(b"")


class Lines:
    """What the hub and the groups have signed, step by step up to C3."""

    def __init__(self, file: Found, federation: str) -> None:
        self.note, self.close = prove_decision(file, CLOSE, federation)
        is_first = self.close["cycle"] == 1
        need((self.close["former"] is None) == is_first, "former")
        entries = [line["entry"] for line in file["groups"]]
        need(len(entries) == self.note["groups"], "groups: how many")
        need(tree_root(entries) == self.note["directory"], "groups: directory")
        self.groups = [Group(entry, at, federation) for at, entry in enumerate(entries)]
        names = [group.name for group in self.groups]
        need(names == sorted(set(names)) and "reserve" not in names, "groups: names")
        keys = [key for group in self.groups for key in group.used]
        need(len(keys) == len(set(keys)), "one key for two groups")

        given = [line["statement"] for line in file["groups"]]
        stated = [line for line in given if line is not None]
        need(len(stated) == self.close["groups"], "statements: how many")
        need(tree_root(stated) == self.close["statements"], "statements: root")

        self.told: list[str] = []
        self.positions = {"reserve": self.close["reserve"]}
        self.agreed = 0
        self.shown: list[str] = []
        for group, line in zip(self.groups, file["groups"], strict=True):
            self.take(group, line, federation)
        need(sum(self.positions.values()) == 0, "sum")
        self.excepted = tuple(file["excepted"])
        need(self.excepted == tuple(sorted(set(self.excepted))), "excepted: order")
        need(set(self.excepted) <= self.positions.keys() - {"reserve"}, "excepted")

    def take(self, group: Group, line: Found, federation: str) -> None:
        if line["cover"] is not None:
            group.check_cover(line["cover"], self.note, federation)
            self.shown.append(group.name)
        if line["statement"] is None:
            need(line["answer"] is None, "answer: to nothing")
            self.told.append(f"{head(group)} has no line in this cycle.")
            return
        statement = check_statement(line["statement"], group, self.close)
        self.positions[group.name] = statement["closing"]
        words, agrees, former = answered(line, group, self.close, federation)
        self.agreed += agrees
        self.told += [tell(group, statement, words), *former]


def prove_cycle(file: Found, federation: str) -> list[str]:
    """Give the words that the proofs allow; targets and plan are compared."""
    lines = Lines(file, federation)
    close, shown = lines.close, lines.shown
    excepted = lines.excepted
    targets = targets_of(lines.positions, excepted)
    legs, bound = plan(lines.positions, targets)
    need([tuple(one.values()) for one in file["targets"]] == [*targets.items()], "aim")
    need([tuple(one.values()) for one in file["legs"]] == legs, "legs")
    need(file["bound"] == bound, "bound")
    return [
        f"Interlets cycle: cycle {close['cycle']} was closed.",
        f"Closed {close['at']} by the hub's clock.",
        f"Federation {federation}.",
        f"Signed by the hub (number {close['number']} of {lines.note['size']} in log "
        f"{close['log']}).",
        f"Signed in this file by {lines.agreed} of the {close['groups']} groups that "
        "have a line.",
        *lines.told,
        f"The reserve stands at {hours(close['reserve'])}. All positions sum to zero.",
        *tell_plan(targets, legs, bound, excepted),
        f"Shown the same log: {', '.join(shown) or 'no group'}; "
        f"{len(shown)} of {len(lines.groups)}.",
        "Not proved: that these keys are the groups' own (compare the check digits), "
        "that the hub showed this log to everyone, what the groups traded, whether "
        "any leg was paid, and whether groups have signed more than is in this file.",
    ]


def check_statement(text: str, group: Group, close: Found) -> Found:
    statement = item(text, STATEMENT, 16384, "statement")
    need(statement["group"] == group.name, "statement: group")
    need(statement["cycle"] == close["cycle"], "statement: cycle")
    need(statement["former"] == close["former"], "statement: former")
    ended = {"log": close["log"], "number": close["number"]}
    need(statement["to"] == ended, "statement: to")
    closing = statement["opening"] + statement["credits"] - statement["debits"]
    need(statement["closing"] == closing, "statement: closing")
    need(close["former"] is not None or statement["opening"] == 0, "statement: opening")
    ways = [statement["debits"], statement["credits"]]
    need(statement["count"] <= sum(ways), "statement: count")
    need(statement["count"] >= len([way for way in ways if way]), "statement: count")
    has_moved = statement["digest"] != sha(b"")
    need(has_moved == (statement["count"] != 0), "statement: digest")
    return statement


def answered(
    line: Found, group: Group, close: Found, federation: str
) -> tuple[str, bool, list[str]]:
    """What the group says, whether it agrees, and by which former key."""
    proof = line["answer"]
    if proof is None:
        return "NOT signed: no answer of it is in this file", False, []
    group.check_proof(proof, federation)
    found = parts.parse(utf8(proof["line"]))
    is_dispute = isinstance(found, dict) and found.get("type") == "cycle.dispute"
    shape = DISPUTE if is_dispute else AGREE
    answer = item(proof["line"], shape, 16384, "answer")
    need(answer["cycle"] == close["cycle"], "answer: cycle")
    need(answer["statement"] == sha(utf8(line["statement"])), "answer: statement")
    words = "signed by the group"
    if is_dispute:
        stands = hours(answer["closing"])
        words = (
            "NOT agreed: in this file it signed that by its own ledger it stands at "
            f"{stands}; it may have agreed since"
        )
    return words, not is_dispute, group.former(proof)


def head(group: Group) -> str:
    return f"{group.name} (check digits {group.digits.partition(' ')[2]})"


def tell(group: Group, statement: Found, words: str) -> str:
    return (
        f"{head(group)}: from {hours(statement['opening'])}, paid "
        f"{hours(statement['debits'])}, received {hours(statement['credits'])}, to "
        f"{hours(statement['closing'])}; {words}."
    )


def tell_plan(
    targets: dict[str, int], legs: Legs, bound: int, excepted: tuple[str, ...]
) -> list[str]:
    left_out = [
        "Left out of the plan, by the regional admin's word alone: "
        f"{', '.join(excepted)}. They stay where they are."
    ] * bool(excepted)
    if not legs:
        return [*left_out, "There is nothing to settle."]
    kept = ", ".join(
        f"{name} {hours(target)}"
        for name, target in targets.items()
        if target and name not in ("reserve", *excepted)
    )
    least = f" than {bound}" if bound < len(legs) else ""
    total = hours(sum(amount for *_, amount in legs))
    other = " other" if excepted else ""
    these = " and these groups have" if excepted else " has"
    return [
        *left_out,
        f"Legs of a plan that settles this: {len(legs)}, and no plan has fewer{least}; "
        f"{total} in all.",
        *(
            f"Leg: {debtor} to {creditor}, {hours(amount)}."
            for debtor, creditor, amount in legs
        ),
        f"With these legs every{other} group stands at zero"
        f"{f', but for what the reserve{these}: {kept}' if kept else ''}.",
    ]


def hours(milliseconds: int) -> str:
    left = abs(milliseconds)
    time = f"{left // 3600000}:{left // 60000 % 60:02}:{left // 1000 % 60:02}"
    return f"{'-' if milliseconds < 0 else ''}{time}.{left % 1000:03} hours"


def is_lie(one: bytes, other: bytes, federation: str) -> bool:
    """Whether two genuine cycle files prove that the hub lied (section 10)."""
    pairs = []
    for raw in (one, other):
        verify_cycle(raw, federation)
        pairs.append(prove_decision(parts.parse(raw), CLOSE, federation))
    (note, close), (other_note, other_close) = pairs
    if close != other_close and close["cycle"] == other_close["cycle"]:
        return True
    place, other_place = ((at["log"], at["number"]) for at in (close, other_close))
    if close != other_close and place == other_place:
        return True
    size, other_size = ((at["log"], at["size"]) for at in (note, other_note))
    if size == other_size and note != other_note:
        return True
    files = sorted(map(parts.parse, (one, other)), key=cycle_of)
    return cycle_of(files[0]) + 1 == cycle_of(files[1]) and is_broken(*files)


def cycle_of(file: Found) -> int:
    found: int = parts.parse(utf8(file["decision"]["line"]))["cycle"]
    return found


def is_broken(former: Found, following: Found) -> bool:
    """Whether a cycle does not begin where the one before it ended."""
    ended, close = (
        parts.parse(utf8(file["decision"]["line"])) for file in (former, following)
    )
    if close["former"] != {"log": ended["log"], "number": ended["number"]}:
        return True
    stood, stands = (
        {
            said["group"]: said
            for line in file["groups"]
            if line["statement"] is not None
            for said in [parts.parse(utf8(line["statement"]))]
        }
        for file in (former, following)
    )
    nothing = {"opening": 0, "closing": 0}
    return any(
        stood.get(group, nothing)["closing"] != stands.get(group, nothing)["opening"]
        for group in stood.keys() | stands.keys()
    )
