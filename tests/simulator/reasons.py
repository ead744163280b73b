"""Looks at every "no", and at every deadline: a refusal must be true.

A server that refuses what it might have done breaks no sum and no promise that
``checker`` reckons, and yet nobody could pay. So each reason is looked at in the
batch that says it: is the limit really reached, the time really up, the rate really
another? Only where nobody lies and nobody was put back. Where an account was changed
by the same batch, how it stood in the middle of that is not known, and nothing is said.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from protocol.instant import from_datetime
from protocol.unit import AMOUNT_MAX, MILLISECONDS_MAX
from tests.simulator.agenda import HOUR, MINUTE, SECOND
from tests.simulator.members import Wish
from tests.simulator.servers import Server

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

#: By batch: what each changed row was before, by table and key.
Before = dict[tuple[Any, Any], Any]
#: Said only of what no honest server does.
_NEVER = (
    "amount-mismatch",
    "amount-out-of-range",
    "content-unreadable",
    "history-differs",
    "keys-not-accepted",
    "not-signed-by-payer-group",
    "unknown-group",
    "unknown-transfer",
)
#: Asked when the hub takes a prepare, and never again.
_AT_FIRST = (
    "deadline-out-of-range",
    "group-frozen",
    "group-left",
    "payee-group-ceiling",
    "payee-group-leaving",
    "month-cap",
    "payer-group-floor",
    "payer-group-leaving",
    "rate-changed",
    "refund-too-large",
    "refund-unknown",
)
#: By class: how long a payment may stay undecided, and how far the hub's covers may be
#: dated ahead of it.
_LASTS = {"now": 30 * SECOND, "when_reachable": 72 * HOUR}
_AHEAD = 30 * SECOND


class Reasons:
    """Judges the refusals of one simulated federation."""

    def __init__(self, checker: "Checker") -> None:
        self._checker = checker
        self._people = checker.people
        self._people.on_no = self._look_at_no
        #: Groups that were ever frozen, or whose rate ever changed.
        self.frozen: set[str] = set()
        self._changed: set[str] = set()

    def look(self, server: Server, first: Before) -> None:
        """Look at what a batch has refused, promised or called off."""
        if self._checker.is_restored or not self._is_honest("hub", server.name):
            return
        self._note_groups()
        for (name, key), before in first.items():
            if name == "transfer":
                row = server.database.table(name)[key]
                if not self._is_honest(row["payer_group"], row["payee_group"]):
                    continue
                self._look_at_transfer(server, before, row)
                if _reason(row) and not _reason(before):
                    self._look_at_refusal(server, first, before, row)
            elif name == "idempotency":
                self._look_at_answer(server, first, server.database.table(name)[key])

    def _is_honest(self, *names: str) -> bool:
        return self._checker.doubted.isdisjoint(names)

    def _note_groups(self) -> None:
        checker = self._checker
        for group, state in checker.states.items():
            if state == "frozen":
                self.frozen.add(group)
        for group, rates in checker.rates.items():
            if len(rates) > 1:
                self._changed.add(group)

    def _demand(self, *, so: bool, told: str) -> None:
        self._checker.demand(so=so, told=told)

    # Payments that begin, or are called off.

    def _look_at_transfer(self, server: Server, before: Any, now: Any) -> None:
        if now["role"] != "payer" or now["payee_group"] == now["payer_group"]:
            return
        id_ = now["transfer_id"]
        if before is None:
            lasts = from_datetime(now["decide_by"]) - from_datetime(now["taken_at"])
            most = _LASTS[now["deliver"]] + _AHEAD
            self._demand(
                so=lasts <= most or self._checker.had_wrong_clock,
                told=f"{server.name}: {id_} may stay open for {lasts} ms",
            )
        if now["is_cancel_sent"] and not (before and before["is_cancel_sent"]):
            self._demand(
                so=now["deliver"] == "now" or id_ in self._people.cancelled,
                told=f"{server.name} calls off {id_}, which nobody wished",
            )

    # What the hub and the payee's node refuse.

    def _look_at_refusal(
        self, server: Server, first: Before, before: Any, row: Any
    ) -> None:
        code, role = _reason(row), row["role"]
        told = f"{server.name} refuses {row['transfer_id']}: {code}"
        groups = {row["payer_group"], row["payee_group"]}
        is_keyless = self._has_vain_keys(groups)
        self._demand(
            so=code not in _NEVER or (code == "content-unreadable" and is_keyless),
            told=f"{told}, where nobody lies",
        )
        if role == "payer" or (role == "payee" and before is not None):
            # The hub's word, looked at when the hub said it.
            return
        was_offered = before is not None and before["state"] == "offered"
        self._demand(
            so=not was_offered or code not in _AT_FIRST,
            told=f"{told}, and had offered it before",
        )
        is_true = _TRUE.get(code)
        if is_true is not None:
            self._demand(so=is_true(self, server, first, row), told=f"{told}, untruly")

    def _has_vain_keys(self, groups: set[str]) -> bool:
        """Say whether a group has lost keys, or sealed by some that never counted.

        Of a change of keys and a recovery that overtakes it the hub may take either.
        """
        nodes = self._checker.federation.nodes
        return not groups.isdisjoint(self._checker.keyless) or any(
            row["state"] in ("refused", "replaced")
            for group in groups
            for row in nodes[group].database.table("renewal").values()
        )

    def _is_expired(self, server: Server, _first: Before, row: Any) -> bool:
        now = server.clock.now()
        return (
            now >= from_datetime(row["decide_by"])
            or now < from_datetime(row["taken_at"])
            or row["role"] != "hub"
        )

    def _is_called_off(self, _server: Server, _first: Before, row: Any) -> bool:
        """Said by the payer's group: by a member, or by its node when it was late."""
        node = self._checker.federation.nodes[row["payer_group"]]
        own = node.database.table("transfer").get(row["transfer_id"])
        return own is not None and bool(own["is_cancel_sent"])

    def _is_at_floor(self, server: Server, first: Before, row: Any) -> bool:
        name, amount = row["payer_group"], row["milliseconds"]
        return not _may_debit(server, first, name, amount)

    def _is_at_ceiling(self, server: Server, first: Before, row: Any) -> bool:
        name, amount = row["payee_group"], row["milliseconds"]
        return not _may_credit(server, first, name, amount)

    def _has_left(self, _server: Server, _first: Before, row: Any) -> bool:
        left = self._checker.lives.ever["left"]
        return bool(left & {row["payer_group"], row["payee_group"]})

    def _may_pay_no_more(self, _server: Server, first: Before, row: Any) -> bool:
        name, amount = row["payer_group"], row["milliseconds"]
        return self._checker.lives.is_window_full(name, amount, 1, first)

    def _may_receive_no_more(self, _server: Server, first: Before, row: Any) -> bool:
        name, amount = row["payee_group"], row["milliseconds"]
        return self._checker.lives.is_window_full(name, amount, -1, first)

    def _is_at_cap(self, server: Server, first: Before, row: Any) -> bool:
        return self._checker.caps.is_reached(server, first, row)

    def _cannot_receive(self, server: Server, first: Before, row: Any) -> bool:
        if row["role"] == "hub":
            return True
        return _cannot_be_paid(server, first, row["account"], row["amount"])

    def _is_frozen(self, _server: Server, _first: Before, row: Any) -> bool:
        """Say whether a group was frozen when this batch began, or when it ended."""
        before, _ = self._checker.before
        groups = row["payer_group"], row["payee_group"]
        return any(
            "frozen" in (before.get(one), self._checker.states.get(one))
            for one in groups
        )

    def _has_changed(self, _server: Server, _first: Before, row: Any) -> bool:
        """Say whether a rate is not the newest, as this batch found or left it."""
        _, before = self._checker.before
        rates = self._checker.rates
        said = (
            (row["payer_group"], row["payer_rate"]),
            (row["payee_group"], row["payee_rate"]),
        )
        return any(
            version not in (before.get(group), len(rates[group]))
            or before.get(group) != len(rates[group])
            for group, version in said
        )

    def _was_not_paid(self, server: Server, first: Before, row: Any) -> bool:
        """Say whether what is to be given back was not paid so, or not yet."""
        id_ = row["refund_of"]
        original = server.database.table("transfer").get(id_)
        groups = row["payee_group"], row["payer_group"]
        before = first.get(("transfer", id_), original)
        return (
            original is None
            or before is None
            or {before["state"], original["state"]} != {"cleared"}
            or (original["payer_group"], original["payee_group"]) != groups
        )

    def _is_nobody(self, server: Server, first: Before, row: Any) -> bool:
        """Say whether nobody has the account that was to be paid, or had it."""
        if row["role"] == "hub" or row["refund_of"] is not None:
            return True
        return all(
            _is_gone(server, first, wish.payee)
            for wish in self._people.wishes
            if wish.transfer_id == row["transfer_id"]
        )

    def _is_unlikely(self, server: Server, _first: Before, row: Any) -> bool:
        """Say whether the hub met a deadline too near or too far."""
        left = from_datetime(row["decide_by"]) - server.clock.now()
        return not 0 < left <= 72 * HOUR + 5 * MINUTE or self._checker.had_wrong_clock

    def _is_too_large(self, server: Server, _first: Before, row: Any) -> bool:
        """Reckon by what lies on the hub's ledger how much may still be given back."""
        rows = server.database.table("transfer")
        others = sum(
            one["milliseconds"]
            for one in rows.values()
            if one["refund_of"] == row["refund_of"]
            and one["state"] in ("offered", "cleared")
        )
        original = rows[row["refund_of"]]
        return bool(others + row["milliseconds"] > original["milliseconds"])

    # What a member's own node refuses.

    def _look_at_no(self, wish: Wish) -> None:
        """Only a key of hers that meant something else, or very many refusals."""
        if wish.told == "refused":
            # What may wait for days need not be turned away.
            renewals = self._checker.federation.nodes[wish.group].database
            is_renewing = bool(renewals.table("renewal"))
            self._demand(
                so=wish.deliver == "now" and (not wish.could_reach or is_renewing),
                told=f"{wish.member}@{wish.group}'s {wish.key} could wait for the hub",
            )
            return
        hers = [
            one
            for one in self._people.wishes
            if (one.group, one.member) == (wish.group, wish.member)
        ]
        of_key = [one for one in hers if one.key == wish.key]
        is_true = len(of_key) > 1 if wish.told == "other-body" else len(hers) >= 100
        self._demand(
            so=is_true or bool(self._checker.doubted),
            told=f"{wish.member}@{wish.group}'s {wish.key}: {wish.told}, untruly",
        )

    def _is_out_of_range(self, wish: Wish) -> bool:
        """Say whether at some rates of its groups no payment may be so large."""
        rates = self._checker.rates
        return any(
            wish.payee_amount * theirs > MILLISECONDS_MAX
            or -(-wish.payee_amount * theirs // own) > AMOUNT_MAX
            for theirs in rates[wish.payee_group]
            for own in rates[wish.group]
        )

    def _look_at_answer(self, server: Server, first: Before, row: Any) -> None:
        code = str(row["code"] or "")
        if not code:
            return
        told = f"{server.name} tells {row['caller']}: {code}"
        is_never = code in _NEVER and code != "amount-out-of-range"
        self._demand(so=not is_never, told=f"{told}, where nobody lies")
        wishes = [
            wish
            for wish in self._people.wishes
            if (wish.group, wish.member, wish.key)
            == (server.name, row["caller"], row["key"])
        ]
        if len(wishes) != 1 or not self._is_honest(wishes[0].payee_group):
            return
        is_true = self._is_true_answer(server, first, code, wishes[0])
        self._demand(so=is_true, told=f"{told}, untruly")

    def _is_true_answer(
        self, server: Server, first: Before, code: str, wish: Wish
    ) -> bool:
        groups = {wish.group, wish.payee_group}
        match code:
            case "payer-floor" if not self._changed & groups:
                price = self._price(wish)
                return not _may_debit(server, first, wish.member, price)
            case "amount-out-of-range":
                return self._is_out_of_range(wish)
            case "payee-cannot-receive":
                return _cannot_be_paid(server, first, wish.payee, wish.payee_amount)
            case "rate-changed":
                return self._is_dearer(wish)
            case "group-frozen":
                return bool(self.frozen & groups)
            case "refund-unknown" | "refund-too-large":
                return self._is_true_of_refund(server, first, code, wish)
        if code.endswith("-account") or code.startswith("account-"):
            return _is_true_of_account(server, first, code, wish)
        return self._is_true_of_lives(server, first, code, wish)

    def _is_dearer(self, wish: Wish) -> bool:
        """Say whether it may have cost more than she agreed to."""
        is_less = wish.payer_amount_max < self._price(wish)
        return is_less or bool(self._changed & {wish.group, wish.payee_group})

    def _is_true_of_refund(
        self, server: Server, first: Before, code: str, wish: Wish
    ) -> bool:
        """Reckon by her own node's ledger what may be given back, and by whom."""
        rows = server.database.table("transfer")
        original = rows.get(wish.refund_of)
        touched = [one for name, one in first if name == "transfer"]
        if original is None or original["state"] != "cleared" or touched:
            # How it stood in the middle of a batch is not known.
            return True
        is_undone = wish.refund_of in server.database.table("correction")
        if is_undone and code == "refund-too-large":
            # Undone by hand, so there is nothing left to give back.
            return True
        (asked, *others) = [
            one for one in self._people.wishes if one.transfer_id == wish.refund_of
        ]
        is_inside = wish.group == wish.payee_group
        changed = self._changed & {wish.group, wish.payee_group}
        if others or (changed and not is_inside):
            return True
        back = (asked.payee_group, asked.payee), (asked.group, asked.member)
        hers = (wish.group, wish.member), (wish.payee_group, wish.payee)
        if code == "refund-unknown":
            return back != hers
        others = [
            one
            for one in rows.values()
            if one["refund_of"] == wish.refund_of and one["state"] != "refused"
        ]
        if is_inside:
            # Inside a group a unit is a unit, whatever it is worth by now.
            units = sum(one["amount"] for one in others) + wish.payee_amount
            return bool(units > original["amount"])
        given = sum(one["milliseconds"] for one in others)
        time = wish.payee_amount * self._checker.rates[wish.payee_group][-1]
        return bool(given + time > original["milliseconds"])

    def _is_true_of_lives(
        self, server: Server, first: Before, code: str, wish: Wish
    ) -> bool:
        if code == "group-left":
            left = self._checker.lives.ever["left"]
            return bool(left & {wish.group, wish.payee_group})
        if code == "payer-group-leaving":
            return self._is_no_creditor(server, first, wish.group)
        return True

    def _is_no_creditor(self, server: Server, first: Before, group: str) -> bool:
        """Say whether a node may think that its leaving group has nothing to pay."""
        clearing = server.database.table("account").get("clearing", {"balance": 0})
        is_moved = ("account", "clearing") in first
        is_leaving = group in self._checker.lives.ever["leaving"]
        return is_leaving and (is_moved or clearing["balance"] >= 0)

    def _price(self, wish: Wish) -> int:
        own, theirs = (
            self._checker.rates[one][-1] for one in (wish.group, wish.payee_group)
        )
        return -(-wish.payee_amount * theirs // own)


def _reason(row: Any) -> str:
    """Give why a transfer is refused, or will be once its groups have compared."""
    return str((row and (row["code"] or row["waiting_code"])) or "")


def _is_true_of_account(server: Server, first: Before, code: str, wish: Wish) -> bool:
    """Say whether the payee is the payer, or nobody; or the payer has left."""
    if code == "same-account":
        return (wish.group, wish.member) == (wish.payee_group, wish.payee)
    if code == "account-frozen":
        return _is_frozen(server, first, wish.member)
    name = wish.member if code == "account-closed" else wish.payee
    return _is_gone(server, first, name)


def _is_frozen(server: Server, first: Before, name: str) -> bool:
    """Say whether an account is frozen, or may have been when it was asked."""
    row = server.database.table("account")[name]
    return bool(row["frozen"] and not row["closed"]) or ("account", name) in first


def _cannot_be_paid(server: Server, first: Before, name: str, amount: int) -> bool:
    """Say whether somebody who is there cannot be paid; of who has left is no word."""
    if _may_credit(server, first, name, amount):
        return False
    row = server.database.table("account").get(name)
    return row is None or not row["closed"] or ("account", name) in first


def _is_gone(server: Server, first: Before, name: str) -> bool:
    """Say whether nobody has an account, nor may have had it when it was asked."""
    row = server.database.table("account").get(name)
    before = first.get(("account", name), row)
    if row is None or before is None or row["kind"] != "member":
        return True
    if row["closed"] or before["closed"]:
        return True
    # She was shut and let in again in one batch.
    notes = server.database.table("member limit")
    return any(notes[key][0] == name for table, key in first if table == "member limit")


def _is_unknown(server: Server, first: Before, name: str) -> bool:
    """Say whether how an account stood when it was asked cannot be told."""
    return ("account", name) in first or name not in server.database.table("account")


def _may_debit(server: Server, first: Before, name: str, amount: int) -> bool:
    if _is_unknown(server, first, name):
        return False
    row = server.database.table("account")[name]
    if row["frozen"] or row["closed"]:
        return False
    free = row["balance"] - row["held_out"] - amount
    return bool(row["floor"] is None or free >= row["floor"])


def _may_credit(server: Server, first: Before, name: str, amount: int) -> bool:
    if _is_unknown(server, first, name):
        return False
    row = server.database.table("account")[name]
    if row["frozen"] or row["closed"]:
        return False
    full = row["balance"] + row["held_in"] + amount
    return bool(row["ceiling"] is None or full <= row["ceiling"])


#: By reason, what says whether it is true.
_TRUE: dict[str, Callable[[Reasons, Server, Before, Any], bool]] = {
    "cancelled": Reasons._is_called_off,
    "deadline-out-of-range": Reasons._is_unlikely,
    "group-frozen": Reasons._is_frozen,
    "group-left": Reasons._has_left,
    "payee-cannot-receive": Reasons._cannot_receive,
    "month-cap": Reasons._is_at_cap,
    "payee-group-ceiling": Reasons._is_at_ceiling,
    "payee-group-leaving": Reasons._may_receive_no_more,
    "payee-unreachable": Reasons._is_expired,
    "payer-group-floor": Reasons._is_at_floor,
    "payer-group-leaving": Reasons._may_pay_no_more,
    "rate-changed": Reasons._has_changed,
    "refund-too-large": Reasons._is_too_large,
    "refund-unknown": Reasons._was_not_paid,
    "unknown-account": Reasons._is_nobody,
}
