"""What the hub knows while it decides a batch."""

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from clearing.rules.consent_records import Consent, KeepConsent
from clearing.rules.cycle_records import (
    KeepCycle,
    KeepLeg,
    KeepStatement,
    KeepWord,
    OpenCycle,
)
from clearing.rules.limit_records import (
    CountUse,
    KeepLimitChange,
    KeepWarned,
    LimitBook,
)
from clearing.rules.share_records import Agreed, KeepShared, Shared, SharedState
from protocol import address
from protocol.address import FederationId, Group
from protocol.checkpoint import SignedCheckpoint
from protocol.effects import (
    Effect,
    HouseEffect,
    PostEntry,
    SaveGroup,
    View,
)
from protocol.instant import Instant
from protocol.keyring import Keyring
from protocol.link import Link, Trouble
from protocol.merkle import Frontier, leaf_hash
from protocol.messages import Checkpoint, DecisionName, GroupEntry, Mirror
from protocol.quota import Quota
from protocol.tiles import HEIGHT, completed
from protocol.transfer import REFUSED_PREPARES_MAX, State, Transfer

#: The hub's own account, for charges and shared losses; no group may be so named.
RESERVE = address.RESERVE
#: Disputes and lists of one group about one statement that are looked at in an hour;
#: a difference among 2^53 moves is found in nine rounds.
ROUNDS_MAX = 64


class AppendDecision(HouseEffect, frozen=True):
    """Keep a decision as the next leaf of the log."""

    log: str
    number: int
    line: bytes


class MirrorState(msgspec.Struct, frozen=True):
    """How a group's mirrors compared with its position so far.

    Attributes:
        agreed: log and number of the newest that was equal, if any was.
        differs: none since was, and people were called.
        called_at: when they were called last.
    """

    agreed: tuple[str, int] | None = None
    differs: bool = False
    called_at: Instant | None = None


class Moved(msgspec.Struct, frozen=True):
    """One transfer moved a group's position, milliseconds."""

    transfer_id: str
    amount: int


class NoteMirror(HouseEffect, frozen=True):
    """Keep what a node says its clearing balance is, and how that compares."""

    group: str
    log: str
    number: int
    balance: int
    state: MirrorState


class ProposalState(StrEnum):
    """What became of a group's proposal."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    REPLACED = "replaced"


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A new entry that a group asks for, and what the regional admin said to it.

    Attributes:
        group: who asks.
        number: of the item in the group's stream; with the group it is its name.
        line_hash: of that item's line, for the answer.
        entry: what the group asks for.
        signed: the group's JWS over it.
        at: when the hub took it.
        state: only one of a group is ever waiting: its newest.
        decided_at: when it stopped waiting.
    """

    group: Group
    number: int
    line_hash: str
    entry: GroupEntry
    signed: str
    at: Instant
    state: ProposalState = ProposalState.WAITING
    decided_at: Instant | None = None

    @property
    def is_waiting(self) -> bool:
        """Say whether the regional admin has yet to decide."""
        return self.state is ProposalState.WAITING


class KeepProposal(HouseEffect, frozen=True):
    """Keep a proposal as it now stands."""

    proposal: Proposal


class SpendInvitation(HouseEffect, frozen=True):
    """Use up an invitation, for this very request."""

    code_hash: str
    request_hash: str
    at: Instant


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """The regional admin's consent to admit one group, once.

    ``floor`` and ``ceiling`` bound its position, in milliseconds.
    """

    code_hash: str
    group: str
    floor: int
    ceiling: int
    until: Instant
    request_hash: str | None


class KeepInvitation(HouseEffect, frozen=True):
    """Keep an invitation; unused ones of that group count no more from ``at`` on."""

    invitation: Invitation
    at: Instant


class Positions:
    """What positions were after each decision of this start's log, as far as kept.

    Every envelope of a node's ends with a mirror, so this is in memory; what is
    older is in the database.

    Args:
        most: moves of all groups together, 16 bytes each.
    """

    _KEPT = 4096

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._count = 0
        self._numbers: dict[str, array[int]] = {}
        self._balances: dict[str, array[int]] = {}

    def note(self, group: str, number: int, balance: int) -> None:
        """Remember a group's position after a decision."""
        numbers = self._numbers.setdefault(group, array("q"))
        balances = self._balances.setdefault(group, array("q"))
        numbers.append(number)
        balances.append(balance)
        self._count += 1
        if len(numbers) > 2 * self._KEPT:
            self._forget(group, self._KEPT)
        if self._count > self._most:
            for name, kept in self._numbers.items():
                self._forget(name, len(kept) // 2)

    def __len__(self) -> int:
        """Say how many moves are kept."""
        return self._count

    def _forget(self, group: str, oldest: int) -> None:
        del self._numbers[group][:oldest], self._balances[group][:oldest]
        self._count -= oldest

    def at(self, group: str, number: int) -> int | None:
        """Give a group's position after a decision; ``None``: it is not kept here."""
        place = bisect_right(self._numbers.get(group, ()), number)
        return self._balances[group][place - 1] if place else None


class TileHash(msgspec.Struct, frozen=True):
    """One entry of a tile above level 0."""

    level: int
    index: int
    hash: bytes


class HubView(View):
    """What the hub knows while it decides a batch.

    Attributes:
        federation: the federation's whole id.
        keyring: keys of all groups.
        log: the log of this start, named by its life.
        frontier: the tree of its decisions so far.
        former: the last checkpoint of the log before, for the first leaf.
        tile_hashes: what this batch adds to the tiles above level 0.
        history: lines of all directory decisions, for a new group.
        invitations: by the hash of their code.
        proposals: the newest of each group, waiting or not.
        consents: all that was ever asked for another admin's word, by number.
        own_keys: the hub's public keys, as entries write keys.
        mirrors: how groups' mirrors compared so far, by group.
        mirrored: the last mirror of each group in this batch, with its position
            there; ``None``: the hub has not made that decision.
        moved: of groups whose mirror differs, what moved their position since it
            last agreed.
        moves: how this batch moves positions: group, decision, position.
        quota: how much of each group's was refused in this hour.
        rounds: how often a group had a cycle's moves looked at in this hour.
        open_cycle: what has moved since a cycle ended, and statements.
        limits: caps and what is used, threshold, of whose limit people were called.
        agreed: by what rules groups share.
        wanted_shares: groups whose sharings the batch is about.
        shared: those sharings, by id.
        stated: the checkpoint that this batch signs, with its note, once it is.
    """

    def __init__(self, life: str, federation: FederationId) -> None:
        super().__init__(life)
        self.federation = federation
        self.keyring = Keyring()
        self.log = life
        self.frontier = Frontier()
        self.former: Checkpoint | None = None
        self.tile_hashes: list[TileHash] = []
        self.history: list[bytes] = []
        self.invitations: dict[str, Invitation] = {}
        self.proposals: dict[Group, Proposal] = {}
        self.consents: dict[int, Consent] = {}
        self.own_keys: frozenset[str] = frozenset()
        self.mirrors: Mapping[str, MirrorState] = {}
        self.mirrored: dict[str, tuple[Mirror, int | None]] = {}
        self.moved: dict[str, list[Moved]] = {}
        self.moves: list[tuple[str, int, int]] = []
        self.quota = Quota(REFUSED_PREPARES_MAX)
        self.rounds = Quota(ROUNDS_MAX)
        self.open_cycle = OpenCycle(None, {}, {})
        self.limits = LimitBook()
        self.agreed = Agreed()
        self.wanted_shares: set[str] = set()
        self.shared: dict[str, Shared] = {}
        self.stated: tuple[SignedCheckpoint, str] | None = None

    @property
    def size(self) -> int:
        """Decisions in the log so far; the number of the next one."""
        return self.frontier.size

    @property
    def next_consent(self) -> int:
        """The number of what is asked next."""
        return max(self.consents, default=0) + 1

    def apply_house(self, effect: Effect) -> None:
        """Let the next decision see what only the hub knows."""
        match effect:
            case AppendDecision():
                assert effect.log == self.log and effect.number == self.size
                self._append(leaf_hash(effect.line))
            case KeepProposal() | KeepConsent():
                self._keep_asked(effect)
            case KeepCycle() | KeepStatement() | KeepLeg() | KeepWord():
                self.open_cycle.apply(effect)
            case CountUse() | KeepLimitChange() | KeepWarned():
                self.limits.apply(effect)
            case KeepShared(shared):
                self._keep_shared(shared)
            case NoteMirror():
                self.mirrors = {**self.mirrors, effect.group: effect.state}
            case SpendInvitation() | KeepInvitation():
                self._invite(effect)

    def _invite(self, effect: SpendInvitation | KeepInvitation) -> None:
        known, replace = self.invitations, msgspec.structs.replace
        match effect:
            case SpendInvitation(code_hash=code_hash, request_hash=request_hash):
                spent = replace(known[code_hash], request_hash=request_hash)
                self.invitations = {**known, code_hash: spent}
            case KeepInvitation(invitation=made, at=at):
                ended = {
                    one.code_hash: replace(one, until=min(one.until, at))
                    for one in known.values()
                    if one.group == made.group and one.request_hash is None
                }
                self.invitations = {**known, **ended, made.code_hash: made}

    def _keep_shared(self, shared: Shared) -> None:
        self.shared[shared.shared_id] = shared
        # The charge is not in the figures of any plan: it is the next cycle's.
        if shared.state is SharedState.DECIDED and shared.group is not None:
            self.open_cycle.shared = shared.group

    def _keep_asked(self, effect: KeepProposal | KeepConsent) -> None:
        match effect:
            case KeepProposal():
                self.proposals[effect.proposal.group] = effect.proposal
            case KeepConsent():
                self.consents[effect.consent.number] = effect.consent

    def _append(self, found: bytes) -> None:
        ended = self.frontier.append(found)
        self.tile_hashes += [
            TileHash(level, index, ended[level * HEIGHT])
            for level, index in completed(self.size)
        ]

    def apply(self, effect: Effect) -> None:
        """Let the next decision see ``effect``."""
        super().apply(effect)
        if isinstance(effect, SaveGroup):
            self.history = [*self.history, effect.record.line]
        elif isinstance(effect, PostEntry):
            # The decision that moves them is the newest of the log.
            self.moves += [
                (name, self.size - 1, self.accounts[name].balance)
                for name in (posting.account_id for posting in effect.entry.postings)
            ]
            self.open_cycle.post(effect, DecisionName(self.log, self.size - 1))

    def may_decide_on(self, transfer: Transfer) -> bool:
        """Say whether a transfer's groups have compared since the hub's start.

        A group whose link is frozen counts as frozen and holds nobody up: what
        was never offered may be refused. But where the group says that the hub is
        behind, the hub may have forgotten what it decided on an offer, and waits.
        Only that group's transfers wait: the word of one node stops no other
        (see docs/decisions/0012).
        """
        if not transfer.prepare and self.told_behind:
            # Whose transfer it may have been is not known: any group's.
            return False
        was_offered = transfer.state is not State.TAKEN
        return all(
            _may_decide(self.links.get(group), was_offered=was_offered)
            for group in (transfer.payer_group, transfer.payee_group)
            if Group(group) in self.directory
        )

    @property
    def told_behind(self) -> list[Group]:
        """Name the groups that say they have more of the hub's than the hub knows."""
        return [
            Group(peer)
            for peer, link in self.links.items()
            if link.trouble is Trouble.WE_ARE_BEHIND
        ]


def _may_decide(link: Link | None, *, was_offered: bool) -> bool:
    if link is None:
        return False
    if link.trouble is Trouble.WE_ARE_BEHIND:
        return not was_offered
    return link.has_compared or link.trouble is not None
