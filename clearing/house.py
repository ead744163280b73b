"""What the hub tells the clerk: which rule decides what, and what it needs.

The rules are in ``clearing.rules`` and know nothing of batches or tables; here
each kind of input is led to its rule.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clearing import (
    consent_store,
    cycle_store,
    cycles,
    limit_store,
    log_store,
    proposal_store,
    rules,
    share_store,
)
from clearing.log_store import Identity
from clearing.rules import (
    Admission,
    Agreed,
    Approve,
    AskConsent,
    BeginLeaving,
    ClosedCycle,
    Consent,
    DeclareLeft,
    Disapprove,
    Freeze,
    GiveConsent,
    HubView,
    Leg,
    Limit,
    LimitBook,
    MirrorState,
    NoteStandings,
    OpenCycle,
    Positions,
    Proposal,
    RecoverKeys,
    Release,
    Running,
    SetCap,
    SetWarning,
    Stay,
    WithdrawConsent,
)
from protocol.address import HUB, FederationId, Group
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, directory_tree, write_checkpoint
from protocol.directory import Directory, hub_publics, keyring, read_hub_statement
from protocol.effects import (
    ArrivedItem,
    Effect,
    Effects,
    Touched,
    View,
    refuse_item,
    transfers_of,
)
from protocol.envelope import Verified, prove
from protocol.errors import ItemRefusalCode
from protocol.instant import Instant
from protocol.keyring import Keyring, SigningKey
from protocol.merkle import Frontier
from protocol.messages import (
    Checkpoint,
    DirectoryLeave,
    DirectoryPropose,
    ItemRefused,
    KeyChangeItem,
    Mirror,
    TransferAccept,
    TransferCancel,
    TransferPrepare,
    TransferRefuse,
    read_item,
)
from protocol.peer import directory_store, ledger_store
from protocol.peer.batch import Sealing
from protocol.peer.database import Connection
from protocol.peer.key_files import ServerKeys
from protocol.quota import Quota
from protocol.transfer import REFUSED_PREPARES_MAX

#: How many transfers are looked through for what made a mirror differ.
_MOVES_MAX = 1000
#: Moves that are folded into tallies in memory before these are written.
_UNWRITTEN_MAX = 4096


@dataclass(frozen=True)
class OpenLog:
    """Begin this start's log."""


@dataclass(frozen=True)
class Due:
    """Look whether these transfers can now be decided."""

    transfer_ids: Sequence[str]


class _Noted(NamedTuple):
    """The newest decision that a node's mirror has named, and its group's position.

    ``position`` is ``None`` until it was looked for since the start.
    """

    log: str
    number: int
    position: int | None

    def names(self, mirror: Mirror) -> bool:
        """Say whether a mirror names this very decision."""
        return (self.log, self.number) == (mirror.log, mirror.number)


class HubHouse:
    """The hub's part in every batch.

    Args:
        keys: the hub's private keys.
        identity: which federation this is.
        agreed: by what rules groups share.
    """

    def __init__(
        self, keys: ServerKeys, identity: Identity, agreed: Agreed | None = None
    ) -> None:
        self.own = HUB
        self.agreed = agreed or Agreed()
        self.federation = FederationId(identity.federation)
        self.directory: Directory = {}
        self.keyring = Keyring()
        #: The newest proposal of each group, waiting or not.
        self.proposals: dict[Group, Proposal] = {}
        #: All that was ever asked for another admin's word, by number.
        self.consents: dict[int, Consent] = {}
        self._keys = keys
        statement = read_hub_statement(identity.statement, self.federation)
        self._own_keys = frozenset(key.key for key in statement.keys)
        #: The signing keys of this hub, that which counts and former ones.
        self.publics = hub_publics(statement)
        self.checkpoint: Checkpoint | None = None
        #: The note that states it: every node asks for it after every batch.
        self.note = ""
        self._former: Checkpoint | None = None
        self._frontier = Frontier()
        self._directory_root = ""
        self._history: list[bytes] = []
        self._quota = Quota(REFUSED_PREPARES_MAX)
        self._rounds = Quota(rules.ROUNDS_MAX)
        self._positions = Positions()
        self._mirrors: Mapping[str, MirrorState] = {}
        self._noted: dict[str, _Noted] = {}
        #: The newest cycle that has ended.
        self.closed: ClosedCycle | None = None
        #: Legs that are open, by id.
        self.legs: dict[str, Leg] = {}
        self._running: dict[str, Running] = {}
        #: Tallies that the database does not know, and of how many moves.
        self._unwritten: set[str] = set()
        self._unwritten_moves = 0
        #: Caps and what of them is used, threshold, of whose limit people were called.
        self.limits = LimitBook()
        #: Positions one, two, ... weeks ago, as the watch over limits last read them.
        self.past: Mapping[str, Sequence[int]] = {}

    def must_wait(self, group: str, now: Instant) -> bool:
        """Say whether a group has had too much refused in this hour."""
        return self._quota.is_used_up(group, now)

    def running(self, group: str) -> Running:
        """Say how a group's position goes in the cycle that is open."""
        return self._running.get(group) or Running()

    @property
    def directory_lines(self) -> Sequence[bytes]:
        """Give the lines of all decisions about groups, oldest first."""
        return self._history

    @property
    def is_cycle_full(self) -> bool:
        """Say whether so much has moved that the open cycle should end by itself."""
        return any(running.is_full for running in self._running.values())

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs our envelopes and covers."""
        return self._keys.signing

    def not_heard(self, kid: str) -> bool:
        """The hub has one signing key, and no other to try."""
        return True

    def sealing(self, view: View, number: int) -> Sealing | None:
        """All items are signed by the one key."""
        return Sealing(self._keys.signing)

    async def load(self, connection: Connection, life: str) -> None:
        """Read directory and proposals; this life's log is new and empty."""
        self._history = await directory_store.read_lines(connection)
        self._know(await directory_store.read(connection, self.federation))
        self.proposals = await proposal_store.read_newest(connection, self.federation)
        self.consents = await consent_store.read(connection)
        self._former = await log_store.read_last_checkpoint(connection)
        self._frontier, self.checkpoint, self.note = Frontier(), None, ""
        self._positions = Positions()
        self._mirrors = await log_store.read_mirror_states(connection)
        self._noted = {
            group: _Noted(log, number, None)
            for group, log, number in await log_store.read_mirrored(connection)
        }
        self.closed = await cycle_store.read_newest(connection)
        self.legs = {
            leg.leg_id: leg for leg in await cycle_store.read_open_legs(connection)
        }
        newest = await ledger_store.read_sequence(connection)
        found = await cycle_store.read_running(connection, newest, self.closed)
        self._running, self._unwritten_moves = found
        self._unwritten = set(self._running)
        self.limits = await limit_store.read_book(connection)

    def _know(self, directory: Directory) -> None:
        self.directory = directory
        self.keyring = keyring(directory)
        self._directory_root = write_base64url(directory_tree(directory).root)

    def first_inputs(self) -> Sequence[object]:
        """Every start of the hub opens a new log (protocol, section 9)."""
        return (OpenLog(),)

    def awaited(self) -> Collection[str]:
        """Every group that may trade, and so may know of what is missing here."""
        return [
            group
            for group, record in self.directory.items()
            if record.state not in ("frozen", "left")
        ]

    def is_for_restored(self, wanted: object) -> bool:
        """Only a freeze: of a group whose server does not come back."""
        return isinstance(wanted, Freeze)

    def begin(self, life: str) -> HubView:
        """Make the view of a batch."""
        view = HubView(life, self.federation)
        view.directory, view.keyring = self.directory, self.keyring
        view.frontier, view.former = self._frontier.copy(), self._former
        view.history = self._history
        view.own_keys, view.proposals = self._own_keys, dict(self.proposals)
        view.consents = dict(self.consents)
        view.mirrors, view.quota = self._mirrors, self._quota.copy()
        view.rounds = self._rounds.copy()
        view.open_cycle = OpenCycle(self.closed, self._running, self.legs)
        view.limits = self.limits.open()
        view.agreed = self.agreed
        return view

    def look(self, view: View, peer: Group, envelope: Verified) -> list[ArrivedItem]:
        """Read the items of an envelope, with proofs of those that go on."""
        items = [read_item(line) for line in envelope.lines]
        passed_on = [
            index
            for index, item in enumerate(items)
            if isinstance(item, TransferPrepare | TransferAccept)
        ]
        proofs = dict(
            zip(
                passed_on,
                prove(envelope.line_1, envelope.lines, passed_on),
                strict=True,
            )
        )
        first = envelope.payload.first
        return [
            ArrivedItem(
                peer=peer,
                number=first + index,
                line=envelope.lines[index],
                item=item,
                box=envelope.boxes.get(first + index),
                proof=proofs.get(index),
                is_last=index == len(items) - 1,
            )
            for index, item in enumerate(items)
        ]

    def touches(self, view: View, wanted: object) -> Touched:
        """Say what must be read before this can be decided."""
        match wanted:
            case ArrivedItem(item=TransferPrepare() as item):
                return Touched(
                    accounts={item.payer_group, item.payee_group},
                    transfers=transfers_of(item),
                )
            case ArrivedItem(item=ItemRefused() as item):
                return Touched(sent_items={(wanted.peer, item.number)})
            case ArrivedItem(item=Mirror() as item):
                assert isinstance(view, HubView)
                view.mirrored[wanted.peer] = (item, None)
                return Touched()
            case AskConsent() | GiveConsent():
                act = self._act_of(wanted)
                return Touched() if act is None else self.touches(view, act)
            case SetCap():
                assert isinstance(view, HubView)
                view.limits.wanted.add(wanted.pair)
                return Touched()
            case _:
                return _touched_by(view, wanted)

    def _act_of(self, wanted: AskConsent | GiveConsent) -> object | None:
        """Give what a word on a dangerous act is about, if anything."""
        if isinstance(wanted, AskConsent):
            return wanted.act
        kept = self.consents.get(wanted.number)
        return None if kept is None else rules.read_act(kept.act)

    async def read(
        self, connection: Connection, view: View, orders: Sequence[object]
    ) -> None:
        """Read the invitations that requests to join name, and mirrored positions."""
        assert isinstance(view, HubView)
        for group, (mirror, _) in list(view.mirrored.items()):
            if await self._is_behind(connection, group, mirror):
                # A position of long ago costs much to find, and proves nothing new.
                del view.mirrored[group]
                continue
            await self._read_mirrored(connection, view, group, mirror)
        await cycles.read(connection, view)
        uncounted = view.limits.wanted - view.limits.caps.keys()
        if uncounted:
            view.limits.read(await limit_store.read_use(connection, uncounted))
        hashes = [order.code_hash for order in orders if isinstance(order, Admission)]
        if hashes:
            view.invitations = await log_store.read_invitations(connection, hashes)

    async def _read_mirrored(
        self, connection: Connection, view: HubView, group: str, mirror: Mirror
    ) -> None:
        """Find what a mirror must be, and what may explain that it is not."""
        noted, position = self._noted.get(group), None
        if noted is not None and noted.names(mirror):
            position = noted.position
        elif mirror.log == view.log and mirror.number < view.size:
            position = self._positions.at(group, mirror.number)
        if position is None:
            position = await log_store.read_position_at(
                connection, group, mirror.log, mirror.number
            )
        view.mirrored[group] = (mirror, position)
        before = view.mirrors.get(group, MirrorState())
        if not before.differs and mirror.balance != -(position or 0):
            view.moved[group] = await log_store.read_moves(
                connection,
                group,
                before.agreed,
                (mirror.log, mirror.number),
                _MOVES_MAX,
            )

    async def _is_behind(
        self, connection: Connection, group: str, mirror: Mirror
    ) -> bool:
        """Say whether a mirror names a decision before one that its node has named."""
        noted = self._noted.get(group)
        if noted is None:
            return False
        if noted.log == mirror.log:
            return mirror.number < noted.number
        return await log_store.is_before(
            connection, (mirror.log, mirror.number), (noted.log, noted.number)
        )

    def decide(self, view: View, wanted: object, now: Instant) -> Iterator[Effects]:
        """Lead an order or an item to its rule."""
        assert isinstance(view, HubView)
        match wanted:
            case OpenLog():
                yield rules.open_log(view, now)
            case Admission() | RecoverKeys():
                yield _decide_entry(view, wanted, now)
            case Approve() | Disapprove() | Freeze() | Release() | Limit():
                yield rules.decide_group(view, wanted, now)
            case SetCap() | SetWarning() | NoteStandings():
                yield _decide_limits(view, wanted, now)
            case Due():
                yield from _decide_due(view, wanted, now)
            case ArrivedItem():
                effects = _decide_item(view, wanted, now)
                yield effects
                yield from cycles.decide_after(view, wanted, effects, now)
                used_up = rules.count_refusal(view, wanted, effects, now)
                if used_up is not None:
                    yield used_up
            case _:
                yield from _decide_other(view, wanted, now)

    def before_sealing(self, view: View, peer: str) -> Effects | None:
        """The hub adds nothing of its own to an envelope."""
        return None

    async def write(
        self,
        connection: Connection,
        view: View,
        effects: Sequence[Effect],
        now: Instant,
    ) -> None:
        """Write what only the hub keeps; a batch that decided signs a checkpoint."""
        assert isinstance(view, HubView)
        await log_store.write(connection, effects, now)
        await proposal_store.write(connection, effects)
        await consent_store.write(connection, effects)
        await cycle_store.write(connection, effects)
        await limit_store.write(connection, effects, self.signing_key)
        await share_store.write(connection, effects)
        await self._write_running(connection, view.open_cycle)
        if view.size > self._frontier.size:
            stated = self._state(view)
            note = write_checkpoint(stated, self.signing_key)
            view.stated = stated, note
            await log_store.write_tile_hashes(connection, view.log, view.tile_hashes)
            await log_store.write_checkpoint(connection, stated, note)

    async def _write_running(self, connection: Connection, opened: OpenCycle) -> None:
        """Write tallies when a cycle has ended, or many moves are not written yet."""
        if not self._is_due(opened):
            return
        unwritten = self._unwritten | opened.changed.keys()
        running = {name: opened.running(name) for name in unwritten}
        newest = await ledger_store.read_sequence(connection)
        await cycle_store.write_running(connection, running, newest)

    def _is_due(self, opened: OpenCycle) -> bool:
        moves = self._unwritten_moves + opened.moves
        return opened.has_closed or moves >= _UNWRITTEN_MAX

    def _keep_running(self, opened: OpenCycle) -> None:
        if self._is_due(opened):
            self._unwritten, self._unwritten_moves = set(), 0
        else:
            self._unwritten |= opened.changed.keys()
            self._unwritten_moves += opened.moves
        self._running.update(opened.changed)
        self.closed = opened.former
        self.legs = {leg.leg_id: leg for leg in opened.open_legs}

    def _state(self, view: HubView) -> SignedCheckpoint:
        """Say how log and directory stand after a batch."""
        is_same = view.directory is self.directory
        tree = None if is_same else directory_tree(view.directory)
        root = self._directory_root if tree is None else write_base64url(tree.root)
        return SignedCheckpoint(
            federation=self.federation,
            log=view.log,
            size=view.size,
            root=write_base64url(view.frontier.root),
            version=len(view.history),
            groups=len(view.directory),
            directory=root,
        )

    def keep(self, view: View) -> None:
        """Remember what the batch has changed."""
        assert isinstance(view, HubView)
        if view.directory is not self.directory:
            self._know(view.directory)
        if view.stated is not None:
            stated, self.note = view.stated
            self.checkpoint = stated.short
        self._frontier, self._history = view.frontier, view.history
        self.proposals, self.consents = view.proposals, view.consents
        self._mirrors, self._quota = view.mirrors, view.quota
        self._rounds = view.rounds
        for group, (mirror, at_mirror) in view.mirrored.items():
            # What we have not decided yet is not further than what comes next.
            if at_mirror is not None:
                self._noted[group] = _Noted(mirror.log, mirror.number, at_mirror)
        self._keep_running(view.open_cycle)
        self.limits = view.limits.kept()
        for group, number, position in view.moves:
            self._positions.note(group, number, position)


def _touched_by(view: View, wanted: object) -> Touched:
    match wanted:
        case Due(transfer_ids=transfer_ids):
            return Touched(transfers=set(transfer_ids))
        case Limit(group=group) | DeclareLeft(group=group):
            return Touched(accounts={group})
        case OpenLog():
            return Touched(accounts={rules.RESERVE})
        case SetWarning() | NoteStandings():
            return Touched()
        case _:
            return cycles.touches(view, wanted)


def _decide_other(view: HubView, wanted: object, now: Instant) -> Iterator[Effects]:
    """Lead a group's last steps, a word on a dangerous act, or what is about cycles."""
    match wanted:
        case BeginLeaving() | Stay() | DeclareLeft():
            return rules.decide_leaving(view, wanted, now)
        case AskConsent() | GiveConsent() | WithdrawConsent():
            return rules.decide_consent(view, wanted, now)
        case _:
            return cycles.decide(view, wanted, now)


def _decide_entry(
    view: HubView, wanted: Admission | RecoverKeys, now: Instant
) -> Effects:
    """Take what a group brings to the hub's door itself, past any link."""
    if isinstance(wanted, Admission):
        return rules.decide_admission(view, wanted, now)
    return rules.decide_recovery(view, wanted, now)


def _decide_limits(
    view: HubView, wanted: SetCap | SetWarning | NoteStandings, now: Instant
) -> Effects:
    match wanted:
        case SetCap():
            return rules.decide_cap(view, wanted, now)
        case SetWarning():
            return rules.decide_warning(view, wanted, now)
        case NoteStandings():
            return rules.decide_standings(view, wanted, now)


def _decide_due(view: HubView, due: Due, now: Instant) -> Iterator[Effects]:
    for transfer_id in due.transfer_ids:
        transfer = view.transfers.get(transfer_id)
        if transfer is not None:
            yield rules.decide_due(view, transfer, now)


def _decide_own_wish(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Take what a group asks about itself."""
    match arrived.item:
        case KeyChangeItem():
            return rules.decide_key_change(view, arrived, now)
        case DirectoryLeave():
            return rules.decide_leave_wish(view, arrived, now)
        case _:
            return rules.decide_proposal(view, arrived, now)


def _decide_item(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Lead an item to its rule; what a node may not send has no effect."""
    match arrived.item:
        case TransferPrepare():
            return rules.decide_prepare(view, arrived, now)
        case TransferAccept() | TransferRefuse() | TransferCancel():
            return rules.decide_reply(view, arrived, now)
        case DirectoryPropose() | KeyChangeItem() | DirectoryLeave():
            return _decide_own_wish(view, arrived, now)
        case Mirror():
            return rules.decide_mirror(view, arrived, now)
        case ItemRefused():
            return rules.decide_item_refused(view, arrived, now)
        case ItemRefusalCode() as code:
            return Effects(None, (refuse_item(arrived, code),))
        case _:
            return cycles.decide_item(view, arrived, now)
