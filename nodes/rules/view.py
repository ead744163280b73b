"""What a node knows while it decides a batch, and the accounts of its own."""

from collections.abc import Mapping
from enum import StrEnum
from typing import assert_never

import msgspec

from nodes.rules.cycle_records import KeepOwnCycle, KeepOwnLeg, OwnCycle, OwnLeg
from nodes.rules.share_records import KeepOwnShared, OwnShared
from protocol import sealing
from protocol.address import HUB, FederationId, Group
from protocol.directory import Directory, GroupRecord, keyring, trusted
from protocol.effects import (
    Effect,
    HouseEffect,
    PostEntry,
    View,
)
from protocol.instant import Instant
from protocol.keyring import KeyPeriod, Keyring
from protocol.ledger import (
    GROUP_UNIT,
    TIME_UNIT,
    Account,
    AccountKind,
)
from protocol.limit_warning import WARN_PERCENT, Limit
from protocol.messages import Checkpoint, GroupEntry
from protocol.quota import Quota

CLEARING = "clearing"


SETTLEMENT = "settlement"


#: What the group bears together with the others; opened when there is something.
SHARED = "shared"


#: The same where a member of before that name was the node's own has it: no member can
#: have a name that begins so.
SHARED_APART = ".shared"


SUSPENSE = "suspense"


FUND = "fund"


#: The node's own accounts; conversion accounts come with each rate version.
_FIXED_ACCOUNTS = {
    CLEARING: TIME_UNIT,
    SETTLEMENT: TIME_UNIT,
    SUSPENSE: GROUP_UNIT,
    FUND: GROUP_UNIT,
}


def conversion(version: int) -> str:
    """Name the conversion account of a rate version, in the group's unit."""
    return f"conversion.{version}"


def conversion_time(version: int) -> str:
    """Name the conversion account of a rate version, in milliseconds."""
    return f"conversion.{version}.time"


def may_be_booked_on(account: Account) -> bool:
    """Say whether a person may book on it by hand.

    Members' accounts, the fund and suspense. The others follow payments between
    groups alone: the clearing account mirrors what the hub decided.
    """
    return account.kind is AccountKind.MEMBER or account.account_id in (FUND, SUSPENSE)


def is_reserved(account: str) -> bool:
    """Say whether an account name is the node's own, not for a member."""
    reserved = {*_FIXED_ACCOUNTS, SHARED, SHARED_APART}
    return account in reserved or account.startswith("conversion.")


def accounts_of(record: GroupRecord) -> list[Account]:
    """List the node's own accounts under an entry of ours."""
    named = dict(_FIXED_ACCOUNTS)
    for rate in record.entry.rates:
        named[conversion(rate.version)] = GROUP_UNIT
        named[conversion_time(rate.version)] = TIME_UNIT
    return [
        Account(account_id=name, kind=AccountKind.SYSTEM, unit=unit)
        for name, unit in named.items()
    ]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an order was answered, kept for ever under its caller and key.

    Attributes:
        body_hash: of what was asked, so that another wish is noticed.
        transfer_id: what was ordered, if it was a payment.
        code: why it was refused, a ``RefusalCode`` or ``TreasurerRefusalCode``.
        at: when.
        entry_id: what was booked, if it was an entry by hand.
        account_id: the account that a refusal is about, if it names one.
    """

    body_hash: str
    transfer_id: str | None
    code: str | None
    at: Instant
    entry_id: str | None = None
    account_id: str | None = None


class KeepAnswer(HouseEffect, frozen=True):
    """Remember for ever how an order under this key was answered."""

    caller: str
    key: str
    answer: Answer


#: Orders of one member to other groups that may be refused there in an hour: a
#: tenth of what the hub lets her whole group have (``REFUSED_PREPARES_MAX``).
MEMBER_REFUSED_MAX = 100


class OtherBody(msgspec.Struct, frozen=True):
    """The key was used before, for something else."""


class SaveMember(HouseEffect, frozen=True):
    """Keep who an account belongs to."""

    account_id: str
    name: str


class NoteDecision(HouseEffect, frozen=True):
    """Remember the newest decision taken, for the mirror."""

    log: str
    number: int


class ProposalState(StrEnum):
    """What became of what the group asked the hub for."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    REPLACED = "replaced"


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A new entry that the group has asked the hub for.

    Attributes:
        number: of its item in our stream to the hub.
        entry: what the group wants to say of itself.
        signed: our JWS over it.
        at: when the treasurer asked.
        state: what the hub said to it, or that a newer one took its place.
        answered_at: when we took that.
    """

    number: int
    entry: GroupEntry
    signed: str
    at: Instant
    state: ProposalState = ProposalState.WAITING
    answered_at: Instant | None = None

    @property
    def is_waiting(self) -> bool:
        """Say whether it is the newest, and the hub has yet to answer."""
        return self.state is ProposalState.WAITING

    def is_asked_with(self, signed: str) -> bool:
        """Say whether this very entry waits or was approved: it needs no other item."""
        return self.signed == signed and self.state is not ProposalState.REFUSED


class KeepProposal(HouseEffect, frozen=True):
    """Keep a proposal as it now stands."""

    proposal: Proposal


class WishState(StrEnum):
    """What became of the group's wish to leave."""

    WAITING = "waiting"
    BEGUN = "begun"
    REFUSED = "refused"


class LeavingWish(msgspec.Struct, frozen=True, kw_only=True):
    """The group has told the hub that it wishes to leave.

    Attributes:
        number: of its item in our stream to the hub.
        at: when the treasurer said so.
        author: the person.
        reason: in her words.
        state: whether the hub has answered.
        answered_at: when we took that.
    """

    number: int
    at: Instant
    author: str | None
    reason: str
    state: WishState = WishState.WAITING
    answered_at: Instant | None = None

    @property
    def is_waiting(self) -> bool:
        """Say whether the hub has yet to answer."""
        return self.state is WishState.WAITING


class KeepLeavingWish(HouseEffect, frozen=True):
    """Keep a wish to leave as it now stands."""

    wish: LeavingWish


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """New keys that the group has asked the hub for.

    Attributes:
        number: of its item in our stream to the hub; of a recovery, of the last item
            that was sealed under the old keys.
        entry: the group's next entry.
        signed: the new signing key's JWS over it.
        statement: the old signing key's word for it, or the recovery key's.
        at: when it was asked.
        is_recovery: the recovery key vouches, and it goes past the link.
        state: what the hub said to it, or that a recovery took its place.
        answered_at: when we took that.
    """

    number: int
    entry: GroupEntry
    signed: str
    statement: str
    at: Instant
    is_recovery: bool = False
    state: ProposalState = ProposalState.WAITING
    answered_at: Instant | None = None

    @property
    def is_waiting(self) -> bool:
        """Say whether the hub has yet to answer."""
        return self.state is ProposalState.WAITING


class KeepRenewal(HouseEffect, frozen=True):
    """Keep new keys that were asked for, as they now stand."""

    renewal: Renewal


class Belief(msgspec.Struct, frozen=True):
    """How far a log of the hub's is believed.

    Attributes:
        place: the log's among those that we know, in the order they were opened.
        checkpoint: what is believed.
        note: as the hub signed it.
    """

    place: int
    checkpoint: Checkpoint
    note: str


class KeepBelief(HouseEffect, frozen=True):
    """Believe a log so far from now on."""

    belief: Belief


class KeepCompared(HouseEffect, frozen=True):
    """Remember up to which item of the hub's everything was compared."""

    number: int


class KeepDistrust(HouseEffect, frozen=True):
    """Keep statements that contradict each other; doubt who made them."""

    about: str
    told: str
    ours: str
    theirs: str


class KeepTrust(HouseEffect, frozen=True):
    """Doubt the hub or a group no more, on somebody's word."""

    about: str
    author: str
    reason: str


class KeepKeys(HouseEffect, frozen=True):
    """Accept a group's keys for ever: two people have compared their digits.

    ``keys`` is the hash of them all (``keys_hash``).
    """

    group: str
    keys: str
    digits: str
    author: str
    reason: str


class ImportRun(msgspec.Struct, frozen=True):
    """What was brought in from another program: which files, when, how much."""

    digest: str
    at: Instant
    members: int
    entries: int


class KeepImportRun(HouseEffect, frozen=True):
    """Remember for ever that the group has moved in."""

    run: ImportRun


class Trust(msgspec.Struct, frozen=True):
    """What a node believes of the hub's logs, and whom it doubts.

    Attributes:
        era: how often people have begun to trust the hub anew.
        beliefs: by log, of this era.
        newest: of the log that was opened last.
        compared: number of the hub's item up to which everything was compared.
        doubted: ``hub``, and groups.
        accepted: hashes of keys for which nobody vouched, and people have compared.
    """

    era: int = 0
    beliefs: Mapping[str, Belief] = {}
    newest: Belief | None = None
    compared: int = 0
    doubted: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What we believe of the log that was opened last."""
        return None if self.newest is None else self.newest.checkpoint

    @property
    def oldest(self) -> Belief | None:
        """The log that was opened first of those that we know."""
        return min(self.beliefs.values(), key=lambda one: one.place, default=None)

    def may_offer(self, group: str) -> bool:
        """Say whether offers of a group's prepares are taken now."""
        return not self.doubted & {HUB, group}

    def after(
        self, effect: KeepBelief | KeepCompared | KeepDistrust | KeepKeys | KeepTrust
    ) -> "Trust":
        """Give what is believed and doubted after an effect."""
        replace = msgspec.structs.replace
        match effect:
            case KeepBelief(belief=belief):
                beliefs = {**self.beliefs, belief.checkpoint.log: belief}
                newest = self.newest
                if newest is None or belief.place >= newest.place:
                    newest = belief
                return replace(self, beliefs=beliefs, newest=newest)
            case KeepCompared():
                return replace(self, compared=effect.number)
            case KeepDistrust():
                return replace(self, doubted=self.doubted | {effect.about})
            case KeepKeys():
                return replace(self, accepted=self.accepted | {effect.keys})
            case KeepTrust():
                doubted = self.doubted - {effect.about}
                if effect.about != HUB:
                    return replace(self, doubted=doubted)
                return replace(
                    self, era=self.era + 1, beliefs={}, newest=None, doubted=doubted
                )
            case _:
                assert_never(effect)


class KeepWarned(HouseEffect, frozen=True):
    """Remember of which limit the treasurer was called; ``None``: it is over."""

    limit: Limit | None
    at: Instant


class KeepWarnPercent(HouseEffect, frozen=True):
    """Warn from this share of a limit on, percent."""

    percent: int
    at: Instant


class NodeView(View):
    """What a node knows while it decides a batch.

    Attributes:
        federation: the federation's whole id.
        group: our own name.
        hub_key: the hub's signing key.
        sealing_key: ours.
        ahead: the directory as this batch will leave it; only to open boxes.
        answers: by caller and key, how orders were answered.
        names: display names of the members whom a treasurer's order is about.
        corrected: entries that have been corrected, of those that orders name.
        proposal: the newest that the group has asked for.
        asked: by signed entry, the newest proposals of entries that are decided on.
        renewal: the newest keys that the group has asked for.
        renewed: by signed entry, keys asked for, of entries that are decided on.
        opens: by id, our sealing keys, also former ones.
        own_entries: what this batch's decisions on our own group hold.
        leaving_wish: the newest, if the group ever wished to leave.
        clearing: the clearing account's balance when the batch began.
        newest: log and number of the newest decision taken.
        mirrored: the newest that a mirror item told the hub.
        trust: what we believe of the hub's logs, and whom we doubt.
        quota: by account, orders that were refused elsewhere in this hour.
        has_entries: whether the ledger has any; known where a group moves in.
        moved_in: what was brought in before, known where a group moves in.
        wanted_cycles: numbers of cycles that the batch is about.
        cycles: those of them that are here, and the ones before.
        wanted_legs: ids of legs that the batch is about.
        legs: those of them that are here.
        wanted_shares: ids of sharings that the batch is about.
        shared: those of them that are here.
    """

    def __init__(
        self,
        life: str,
        federation: FederationId,
        group: Group,
        sealing_key: sealing.SealingKey,
    ) -> None:
        super().__init__(life)
        self.federation = federation
        self.group = group
        self.sealing_key = sealing_key
        self.hub_key: KeyPeriod | None = None
        self.ahead: Directory = {}
        self._trusted: tuple[Directory, frozenset[str], Directory] | None = None
        self._keyring: tuple[Directory, Keyring] | None = None
        self.answers: dict[tuple[str, str], Answer] = {}
        self.names: dict[str, str] = {}
        self.corrected: set[str] = set()
        self.proposal: Proposal | None = None
        self.asked: dict[str, Proposal] = {}
        self.renewal: Renewal | None = None
        self.renewed: dict[str, Renewal] = {}
        self.opens: Mapping[str, sealing.SealingKey] = {sealing_key.kid: sealing_key}
        self.own_entries: set[str] = set()
        self.leaving_wish: LeavingWish | None = None
        self.clearing = 0
        self.warned: Limit | None = None
        self.warn_percent = WARN_PERCENT
        self.newest: tuple[str, int] | None = None
        self.mirrored: tuple[str, int] | None = None
        self.trust = Trust()
        self.quota = Quota(MEMBER_REFUSED_MAX)
        self.has_entries = False
        self.moved_in: ImportRun | None = None
        self.wanted_cycles: set[int] = set()
        self.cycles: dict[int, OwnCycle] = {}
        self.wanted_legs: set[str] = set()
        self.legs: dict[str, OwnLeg] = {}
        self.wanted_shares: set[str] = set()
        self.shared: dict[str, OwnShared] = {}

    def apply(self, effect: Effect) -> None:
        """Let the next decision see ``effect``, and what it corrects."""
        super().apply(effect)
        if isinstance(effect, PostEntry) and effect.entry.corrects is not None:
            self.corrected.add(effect.entry.corrects)

    def apply_house(self, effect: Effect) -> None:
        """Let the next decision see what only nodes know."""
        match effect:
            case NoteDecision():
                self.newest = (effect.log, effect.number)
            case KeepProposal() | KeepRenewal() | KeepLeavingWish():
                self._keep_asked(effect)
            case (
                KeepBelief()
                | KeepCompared()
                | KeepDistrust()
                | KeepKeys()
                | KeepTrust()
            ):
                self.trust = self.trust.after(effect)
            case KeepAnswer():
                self.answers[effect.caller, effect.key] = effect.answer
            case SaveMember():
                self.names[effect.account_id] = effect.name
            case KeepImportRun(run):
                self.moved_in = run
            case (
                KeepOwnCycle()
                | KeepOwnLeg()
                | KeepOwnShared()
                | KeepWarned()
                | KeepWarnPercent()
            ):
                self._keep_own(effect)

    def _keep_own(
        self,
        effect: (
            KeepOwnCycle | KeepOwnLeg | KeepOwnShared | KeepWarned | KeepWarnPercent
        ),
    ) -> None:
        match effect:
            case KeepOwnCycle(cycle):
                self.cycles[cycle.cycle] = cycle
            case KeepOwnLeg(leg):
                self.legs[leg.leg_id] = leg
            case KeepOwnShared(shared):
                self.shared[shared.shared_id] = shared
            case KeepWarned(limit):
                self.warned = limit
            case KeepWarnPercent(percent):
                self.warn_percent = percent

    def _keep_asked(self, effect: KeepProposal | KeepRenewal | KeepLeavingWish) -> None:
        match effect:
            case KeepProposal(proposal):
                self._keep(proposal)
            case KeepRenewal(renewal):
                self._keep_renewal(renewal)
            case KeepLeavingWish(wish):
                self.leaving_wish = wish

    def _keep_renewal(self, renewal: Renewal) -> None:
        self.renewed[renewal.signed] = renewal
        known = self.renewal
        # One that was replaced may yet be decided on; the newest stays the newest.
        if known is None or renewal.is_waiting or known.signed == renewal.signed:
            self.renewal = renewal

    def _keep(self, proposal: Proposal) -> None:
        self.asked[proposal.signed] = proposal
        # One that was replaced may yet be approved; the newest stays the newest.
        if self.proposal is None or proposal.number >= self.proposal.number:
            self.proposal = proposal

    @property
    def awaits_recovery(self) -> bool:
        """Say whether nothing is sealed until the hub has taken keys by the sheet.

        That may last hours, while a change by the old key is answered in a moment.
        """
        waiting = self.renewal
        return waiting is not None and waiting.is_waiting and waiting.is_recovery

    def find_payee(self, account_id: str) -> Account | None:
        """Give a member's account; ``None`` when nobody is to be found there.

        Whoever asks from outside learns no difference between a closed account and
        a name that nobody ever had.
        """
        account = self.accounts.get(account_id)
        if account is None or account.kind is not AccountKind.MEMBER or account.closed:
            return None
        return account

    @property
    def trusted(self) -> Directory:
        """The directory with the keys that count here (``protocol.directory``)."""
        known, accepted = self._trusted, self.trust.accepted
        if known is None or known[0] is not self.directory or known[1] != accepted:
            found = trusted(self.directory, accepted)
            known = self._trusted = (self.directory, accepted, found)
        return known[2]

    @trusted.setter
    def trusted(self, known: Directory) -> None:
        """Take what belongs to the directory and to what was accepted."""
        self._trusted = (self.directory, self.trust.accepted, known)

    def awaits_comparing(self, group: str) -> bool:
        """Say whether a group has keys for which nobody has vouched yet."""
        named = Group(group)
        return self.trusted.get(named) is not self.directory.get(named)

    @property
    def keyring(self) -> Keyring:
        """Keys that count here, of the hub and of all groups."""
        if self._keyring is None or self._keyring[0] is not self.trusted:
            others = [] if self.hub_key is None else [self.hub_key]
            self._keyring = (self.trusted, keyring(self.trusted, others))
        return self._keyring[1]

    @keyring.setter
    def keyring(self, known: Keyring) -> None:
        """Take the keyring that belongs to the directory as it stands."""
        self._keyring = (self.trusted, known)

    @property
    def clearing_balance(self) -> int:
        """Balance of the clearing account, milliseconds, as it stands now."""
        account = self.accounts.get(CLEARING)
        return self.clearing if account is None else account.balance
