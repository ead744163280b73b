"""What a node tells the clerk: which rule decides what, and what it needs.

The rules are in ``nodes.rules`` and know nothing of batches or tables; here each
kind of input is led to its rule.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from weakref import WeakValueDictionary

from nodes import (
    act_store,
    cycle_store,
    cycles,
    import_store,
    leaving_store,
    limit_store,
    member_store,
    proposal_store,
    renewal_store,
    rules,
    share_store,
    trust_store,
)
from nodes.listeners import Listeners
from nodes.member_store import Membership
from nodes.rules import (
    AcceptKeys,
    Believe,
    CancelWish,
    ChangeKeys,
    Correction,
    Distrust,
    HandEntry,
    LeavingWish,
    LimitsChange,
    LookAtLimits,
    MemberChange,
    MoveIn,
    NewMember,
    NodeView,
    Order,
    Proposal,
    Propose,
    RecoverKeys,
    Renewal,
    SetWarnPercent,
    TellPeople,
    Trust,
    TrustAgain,
    TrustOrder,
    WishToLeave,
)
from protocol.address import HUB, FederationId, Group
from protocol.directory import (
    Directory,
    GroupRecord,
    entry_key,
    fold,
    keyring,
    read_entry,
    read_hub_statement,
    trusted,
)
from protocol.effects import (
    ArrivedItem,
    Effect,
    Effects,
    Touched,
    View,
    refuse_item,
    transfers_of,
)
from protocol.envelope import Verified
from protocol.errors import (
    DirectoryRefusalCode,
    ItemRefusalCode,
    OutageError,
    PeerError,
)
from protocol.instant import Instant
from protocol.key_change import sign_key_change
from protocol.keyring import KeyPeriod, Keyring, SigningKey, key_id
from protocol.limit_warning import WARN_PERCENT, Limit, LimitWarning, warn
from protocol.messages import (
    AnyItem,
    Checkpoint,
    DirectoryDecision,
    GroupEntry,
    ItemRefused,
    LogDecision,
    TransferAnswer,
    TransferDecision,
    TransferOffer,
    TransferPrepare,
    read_item,
)
from protocol.peer import directory_store, ledger_store
from protocol.peer.batch import Sealing
from protocol.peer.database import AnyConnection, Connection
from protocol.peer.key_files import KeyFileError, KeyPair, ServerKeys
from protocol.peer.recent import Recent
from protocol.quota import Quota
from protocol.sealing import SealingKey
from protocol.transfer import Transfer

_LOG = logging.getLogger(__name__)
#: Transfers of several full batches.
_RECENT_MAX = 4096


def _quietly(_done: float) -> None:
    """Tell nobody how far it is."""


class NodeHouse:
    """A node's part in every batch.

    Args:
        keys: the node's private keys.
        membership: what the node has joined.
        read_keys: reads the key files anew, for each clerk: another server on the same
            database may have added to them since. ``None``: ``keys`` are all.

    Attributes:
        listeners: who is told that something has happened on an account.
    """

    def __init__(
        self,
        keys: ServerKeys,
        membership: Membership,
        read_keys: Callable[[], ServerKeys] | None = None,
    ) -> None:
        self.own = Group(membership.group)
        #: As we signed it when we joined.
        self.own_entry = membership.entry
        self.federation = FederationId(membership.federation)
        #: As the hub's decisions fold, and with the keys that count here.
        self.directory: Directory = {}
        self.trusted: Directory = {}
        #: What we believe of the hub's logs, and whom we doubt; durable.
        self.trust = Trust()
        self.keyring = Keyring()
        self._keys = keys
        self._read_keys = read_keys
        #: As we joined with.
        self._first = read_entry(membership.entry, self.federation)
        #: Ids of our keys as a cover may be signed, the likeliest first.
        self._covers: list[str] = []
        self._turn = 0
        #: Those under which the hub took no cover since it last took one.
        self._unheard: set[str] = set()
        self._heard_at: Instant | None = None
        #: The newest keys that the group has asked for.
        self.renewal: Renewal | None = None
        #: The hub's keys, as the root key signed them.
        self.statement = membership.statement
        statement = read_hub_statement(membership.statement, self.federation)
        self._hub_key = KeyPeriod(HUB, entry_key(statement.keys, "signing"))
        self._newest: tuple[str, int] | None = None
        self._mirrored: tuple[str, int] | None = None
        self._clearing = 0
        #: Of which limit of the group's the treasurer was called; durable.
        self.warned: Limit | None = None
        #: From which share of a limit on the treasurer is warned; durable.
        self.warn_percent = WARN_PERCENT
        #: Positions one, two, ... weeks ago, as the watch over limits last read them.
        self.past: Sequence[int] | None = None
        #: Not durable: a restart forgives.
        self._quota = Quota(rules.MEMBER_REFUSED_MAX)
        #: Transfers as the newest batches left them: whoever waits for one need not
        #: ask the database how it stands.
        self._recent = Recent[str, Transfer](_RECENT_MAX)
        #: The newest that the group has asked the hub for.
        self.proposal: Proposal | None = None
        #: The newest wish of the group's to leave.
        self.leaving_wish: LeavingWish | None = None
        #: Kept only as long as somebody waits for it.
        self._watched: WeakValueDictionary[str, asyncio.Future[Transfer]]
        self._watched = WeakValueDictionary()
        self.listeners = Listeners()
        #: Told how much of a move is decided, of 1.
        self.progress: Callable[[float], None] = _quietly

    def watch(self, transfer_id: str) -> "asyncio.Future[Transfer]":
        """Give what will hold this transfer when it has next changed.

        Take it before looking how the transfer stands, so that no change falls
        between the two; shield it, for others may wait for the same.
        """
        found = self._watched.get(transfer_id)
        if found is None:
            found = asyncio.get_running_loop().create_future()
            self._watched[transfer_id] = found
        return found

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest of the hub's log that we believe: for covers and prepares."""
        return self.trust.checkpoint

    @property
    def mirrored(self) -> tuple[str, int] | None:
        """The newest decision that the hub was told our balance after, this life."""
        return self._mirrored

    @property
    def hub_public(self) -> bytes:
        """The hub's signing key, as the root key signed it."""
        return self._hub_key.public

    @property
    def keys_waiting(self) -> list[Group]:
        """Groups whose new keys nobody has vouched for."""
        found = self.directory.items()
        return [group for group, one in found if self.trusted[group] is not one]

    def recent(self, transfer_id: str) -> Transfer | None:
        """Give a transfer as it is stored, if a recent batch touched it."""
        return self._recent.find(transfer_id)

    @property
    def position(self) -> int:
        """The group's position by our own ledger, milliseconds."""
        return -self._clearing

    def limit_warning(self, position: int) -> LimitWarning | None:
        """Say what is worth a word about the group's limits; ``None``: nothing is."""
        own = self.own_record()
        return warn(position, own.floor, own.ceiling, self.warn_percent, self.past)

    def own_record(self) -> GroupRecord:
        """Give our own entry; raises ``OutageError`` until the hub has sent it."""
        record = self.directory.get(self.own)
        if record is None:
            raise OutageError("this group waits for the hub's answer to its joining")
        return record

    @property
    def own_entry_now(self) -> GroupEntry:
        """Our newest entry that we trust; before any, the one we joined with."""
        record = self.trusted.get(self.own)
        return self._first if record is None else record.entry

    @property
    def private_keys(self) -> ServerKeys:
        """All our private keys."""
        return self._keys

    def is_ours(self, public: bytes) -> bool:
        """Say whether a signing key is one of ours, now or before."""
        record = self.trusted.get(self.own)
        named = [] if record is None else [span.kid for span in record.keys]
        return key_id(public) in {*self._keys.all_signing(), *named}

    def hold(self, pair: KeyPair) -> None:
        """Take new private keys, which are durable, beside those that we have."""
        self._keys = self._keys.with_pair(pair)
        self._line_up(None)

    @property
    def has_own_key(self) -> bool:
        """Say whether the key that speaks for the group is on this server."""
        kid = rules.signing_kid(self.own_entry_now)
        return kid in self._keys.all_signing()

    @property
    def own_key(self) -> SigningKey:
        """The key that speaks for the group by its newest entry.

        Raises:
            OutageError: it is not on this server; the recovery sheet gives another.
        """
        found = self._keys.all_signing().get(rules.signing_kid(self.own_entry_now))
        if found is None:
            told = "this server does not have the group's signing key (keys recover)"
            raise OutageError(told)
        return found

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs our covers now."""
        return self._keys.all_signing()[self._covers[self._turn % len(self._covers)]]

    def not_heard(self, kid: str) -> bool:
        """Note that the hub took no cover under a key; the next gets its turn."""
        if self.signing_key.kid == kid:
            # Else it answers an older request: another key has its turn by now.
            self._turn += 1
        self._unheard.add(kid)
        # While new keys are on their way, that the hub has yet to hear is no news.
        is_waiting = self.renewal is not None and self.renewal.is_waiting
        return not is_waiting and self._unheard.issuperset(self._covers)

    def _line_up(self, view: View | None) -> None:
        """Put our keys in the order in which covers try them."""
        known = self._keys.all_signing()
        acknowledged = 0
        if view is not None:
            link = view.links[HUB]
            acknowledged = link.acknowledged
            if link.peer_at != self._heard_at:
                self._heard_at = link.peer_at
                self._unheard.clear()
        likely = rules.cover_kids(
            self.trusted.get(self.own), self._first, self.renewal, acknowledged
        )
        covers = [kid for kid in likely if kid in known]
        covers += [kid for kid in known if kid not in covers]
        if covers != self._covers:
            self._covers, self._turn = covers, 0

    def sealing(self, view: View, number: int) -> Sealing | None:
        """Say which key signs our item of a number; none behind keys that wait."""
        assert isinstance(view, NodeView)
        until = rules.sealable_to(view.renewal, number)
        span = rules.span_at(view.trusted.get(self.own), self._first, number)
        key = None if span is None else self._keys.all_signing().get(span.kid)
        if until == 0 or span is None or key is None:
            return None
        return Sealing(key, span.last if until is None else until)

    @property
    def sealing_key(self) -> SealingKey:
        """The key that seals for others, by our newest entry.

        While a recovery waits, by the one that it brings: nothing is sealed behind it
        before it counts, and the key of the older entry may be lost.
        """
        entry, renewal = self.own_entry_now, self.renewal
        if renewal is not None and renewal.is_waiting and renewal.is_recovery:
            entry = renewal.entry
        public = entry_key(entry.keys, "sealing")
        return self.opens.get(key_id(public), self._keys.sealing)

    @property
    def opens(self) -> Mapping[str, SealingKey]:
        """By id, the keys that open boxes meant for us."""
        return self._keys.all_sealing()

    async def load(self, connection: AnyConnection, life: str) -> None:
        """Read the key files, the directory and where the mirror stands."""
        if self._read_keys is not None:
            self._keys = self._read_keys()
        self._newest = await member_store.read_newest(connection)
        self._mirrored = None
        self._recent = Recent(_RECENT_MAX)
        self.trust = await trust_store.read(connection)
        self._know(await directory_store.read(connection, self.federation))
        self._clearing = await member_store.read_clearing(connection)
        self.warned = await limit_store.read_warned(connection)
        self.warn_percent = await limit_store.read_percent(connection)
        self.proposal = await proposal_store.read_newest(connection, self.federation)
        self.renewal = await renewal_store.read_newest(connection, self.federation)
        self._check_files()
        self._line_up(None)
        self.leaving_wish = await leaving_store.read_newest(connection)
        self.listeners.wake_all()

    def _check_files(self) -> None:
        """Pass over files of former keys that cannot be read, and of no others.

        Raises:
            KeyFileError: without the key in it the hub would not hear us, or what is
                sealed for us would be refused; people can mend it.
        """
        entries, waiting = [self.own_entry_now], self.renewal
        if waiting is not None and waiting.is_waiting:
            # Behind a recovery the older keys may be the ones that were lost.
            kept = [] if waiting.is_recovery else entries
            entries = [*kept, waiting.entry]
        for entry in entries:
            for use in ("signing", "sealing"):
                told = self._keys.why_unread(use, entry_key(entry.keys, use))
                if told is not None:
                    raise KeyFileError(
                        f"{told} The group needs this very key now: put the file back"
                        " from a backup, or type the recovery sheet (keys recover)."
                    )
        for told in self._keys.unread.values():
            _LOG.warning("the file of a former key is passed over: %s", told)

    def _know(self, directory: Directory) -> None:
        self.directory = directory
        self.trusted = trusted(directory, self.trust.accepted)
        self.keyring = keyring(self.trusted, [self._hub_key])

    def first_inputs(self) -> Sequence[object]:
        """A node has nothing to decide at its start."""
        return ()

    def awaited(self) -> Collection[str]:
        """A node has one link, with its hub."""
        return (HUB,)

    def is_for_restored(self, wanted: object) -> bool:
        """Only the recovery key's word: without it the hub may never hear us again.

        Whatever else would be booked now may have to be thrown away.
        """
        return isinstance(wanted, RecoverKeys)

    def begin(self, life: str) -> NodeView:
        """Make the view of a batch."""
        view = NodeView(life, self.federation, self.own, self.sealing_key)
        view.opens, view.renewal = self.opens, self.renewal
        view.directory = view.ahead = self.directory
        view.trust, view.trusted = self.trust, self.trusted
        view.hub_key, view.keyring = self._hub_key, self.keyring
        view.newest, view.mirrored = self._newest, self._mirrored
        view.clearing, view.proposal = self._clearing, self.proposal
        view.leaving_wish = self.leaving_wish
        view.quota, view.warned = self._quota.copy(), self.warned
        view.warn_percent = self.warn_percent
        return view

    def look(self, view: View, peer: Group, envelope: Verified) -> list[ArrivedItem]:
        """Read the items of an envelope, and open the boxes meant for us."""
        assert isinstance(view, NodeView)
        arrived = []
        for number, line in enumerate(envelope.lines, envelope.payload.first):
            item = read_item(line)
            if isinstance(item, DirectoryDecision):
                if item.group == self.own:
                    view.own_entries.add(item.entry)
                # Only to open boxes behind it; it is decided in its turn.
                with contextlib.suppress(PeerError):
                    view.ahead = fold(view.ahead, item, line, view.federation)
            box = envelope.boxes.get(number)
            arrived.append(
                ArrivedItem(
                    peer=peer,
                    number=number,
                    line=line,
                    item=item,
                    box=box,
                    content_line=self._open_box(view, item, box),
                )
            )
        return arrived

    def _open_box(
        self, view: NodeView, item: AnyItem | ItemRefusalCode, box: str | None
    ) -> bytes | None:
        """Open an offer's box."""
        if not isinstance(item, TransferOffer):
            return None
        prepare = read_item(item.line.encode())
        if not isinstance(prepare, TransferPrepare):
            return None
        return rules.open_content(view, prepare, box)

    def touches(self, view: View, wanted: object) -> Touched:
        """Say what must be read before this can be decided."""
        match wanted:
            case Order():
                return self._touched_by(wanted)
            case CancelWish():
                return Touched(transfers={wanted.transfer_id})
            case (
                NewMember()
                | MemberChange()
                | LimitsChange()
                | HandEntry()
                | Correction()
                | Propose()
                | WishToLeave()
            ):
                return _touched_by_treasurer(wanted)
            case LookAtLimits() | SetWarnPercent():
                return Touched()
            case MoveIn():
                return Touched(accounts={one.account_id for one in wanted.members})
            case ArrivedItem():
                return _touched_by_item(view, wanted)
            case _:
                return cycles.touches(view, wanted)

    def _touched_by(self, order: Order) -> Touched:
        touched = Touched(accounts={order.payer}, transfers={order.transfer_id})
        if order.payee_group == self.own:
            touched.accounts.add(order.payee)
        if order.refund_of is not None:
            touched.transfers.add(order.refund_of)
        return touched

    async def read(
        self, connection: Connection, view: View, orders: Sequence[object]
    ) -> None:
        """Read how orders were answered before, whom they name, and what we asked."""
        assert isinstance(view, NodeView)
        keyed = [
            (order.caller, order.key)
            for order in orders
            if isinstance(order, Order | HandEntry | Correction)
        ]
        keyed += [
            (order.author, order.key)
            for order in orders
            if isinstance(order, NewMember) and order.author and order.key
        ]
        if keyed:
            view.answers = await member_store.read_answers(connection, keyed)
        changed = [one.account_id for one in orders if isinstance(one, MemberChange)]
        for order in orders:
            if isinstance(order, LimitsChange):
                changed += [line.account_id for line in order.lines]
        if changed:
            view.names = await member_store.read_names(connection, changed)
        named = [one.entry.entry_id for one in orders if isinstance(one, Correction)]
        if named:
            view.corrected = await ledger_store.read_corrected(connection, named)
        if any(isinstance(one, MoveIn) for one in orders):
            view.has_entries = await ledger_store.read_sequence(connection) > 0
            view.moved_in = await import_store.read_run(connection)
        await cycles.read(connection, view)
        if view.own_entries:
            view.asked = await proposal_store.read_asked(
                connection, self.federation, view.own_entries
            )
            view.renewed = await renewal_store.read_renewed(
                connection, self.federation, view.own_entries
            )

    def decide(self, view: View, wanted: object, now: Instant) -> Iterator[Effects]:
        """Lead an order or an item to its rule."""
        assert isinstance(view, NodeView)
        match wanted:
            case Order():
                effects = rules.decide_order(view, wanted, now)
                yield rules.with_act(wanted, effects)
            case CancelWish() | LookAtLimits() | SetWarnPercent():
                yield _decide_limits_or_cancel(view, wanted, now)
            case AcceptKeys() | TrustAgain() | Believe() | Distrust() | TellPeople():
                yield _decide_trust(view, wanted)
            case ArrivedItem():
                effects = _decide_item(view, wanted, now)
                rules.count_refusal(view, effects, now)
                yield effects
            case (
                NewMember()
                | MemberChange()
                | LimitsChange()
                | HandEntry()
                | Correction()
                | Propose()
                | WishToLeave()
            ):
                effects = _decide_treasurer(view, wanted, now)
                yield rules.with_act(wanted, effects)
            case MoveIn():
                yield from self._move_in(view, wanted, now)
            case ChangeKeys() | RecoverKeys():
                effects = self._renew(view, wanted, now)
                yield rules.with_act(wanted, effects)
            case _:
                yield cycles.decide(view, wanted, now)

    def _renew(
        self, view: NodeView, wanted: ChangeKeys | RecoverKeys, now: Instant
    ) -> Effects:
        if isinstance(wanted, RecoverKeys):
            return rules.decide_recover_keys(view, wanted, self._first, now)
        kid = rules.signing_kid(view.trusted[self.own].entry)
        old = self._keys.all_signing().get(kid)
        if old is None:
            return Effects(None, (), rules.NotRenewed(DirectoryRefusalCode.KEY_MISSING))
        return rules.decide_change_keys(
            view, wanted, lambda change: sign_key_change(change, old), now
        )

    def _move_in(
        self, view: NodeView, wanted: MoveIn, now: Instant
    ) -> Iterator[Effects]:
        for done, effects in rules.decide_move_in(view, wanted, now):
            self.progress(done)
            yield rules.with_act(wanted, effects)

    def before_sealing(self, view: View, peer: str) -> Effects | None:
        """End each envelope with a mirror when there is something new to say."""
        assert isinstance(view, NodeView)
        return rules.decide_mirror(view)

    async def write(
        self,
        connection: Connection,
        view: View,
        effects: Sequence[Effect],
        now: Instant,
    ) -> None:
        """Write what only nodes keep."""
        await member_store.write(connection, effects, now)
        await proposal_store.write(connection, effects)
        await renewal_store.write(connection, effects)
        await leaving_store.write(connection, effects)
        await trust_store.write(connection, self.trust.era, effects, now)
        await act_store.write(connection, effects, now)
        await import_store.write(connection, effects)
        await cycle_store.write(connection, effects)
        await limit_store.write(connection, effects)
        await share_store.write(connection, effects)

    def keep(self, view: View) -> None:
        """Remember what the batch has changed."""
        assert isinstance(view, NodeView)
        self.directory, self.trusted = view.directory, view.trusted
        self.keyring = view.keyring
        self._newest, self._mirrored = view.newest, view.mirrored
        self._clearing, self.proposal = view.clearing_balance, view.proposal
        self.renewal = view.renewal
        self._line_up(view)
        self.leaving_wish = view.leaving_wish
        self.trust, self._quota = view.trust, view.quota
        self.warned, self.warn_percent = view.warned, view.warn_percent
        for transfer_id, transfer in view.transfers.items():
            self._recent.keep(transfer_id, transfer)
        self.listeners.wake(view.accounts.keys())
        if self._watched:
            for transfer_id, transfer in view.transfers.items():
                watched = self._watched.pop(transfer_id, None)
                if watched is not None and not watched.done():
                    watched.set_result(transfer)


def _decide_limits_or_cancel(
    view: NodeView, wanted: CancelWish | LookAtLimits | SetWarnPercent, now: Instant
) -> Effects:
    """Lead what the node does unasked to its rule, and when it warns."""
    if isinstance(wanted, CancelWish):
        return rules.decide_cancel(view, wanted)
    if isinstance(wanted, SetWarnPercent):
        effects = rules.decide_warn_percent(view, wanted, now)
        return rules.with_act(wanted, effects)
    return rules.decide_limits_look(view, now)


#: What a treasurer orders on her own ledger.
_TreasurerOrder = (
    NewMember
    | MemberChange
    | LimitsChange
    | HandEntry
    | Correction
    | Propose
    | WishToLeave
)


def _touched_by_item(view: View, arrived: ArrivedItem) -> Touched:
    if isinstance(arrived.item, ItemRefused):
        return Touched(sent_items={(arrived.peer, arrived.item.number)})
    # Naming one account has the node's own accounts read as well.
    touched = Touched(accounts={rules.CLEARING}, transfers=transfers_of(arrived.item))
    content = rules.read_content(arrived.content_line)
    if content is not None:
        touched.accounts.add(content.payee)
    touched.accounts |= cycles.touches(view, arrived).accounts
    return touched


def _touched_by_treasurer(wanted: _TreasurerOrder) -> Touched:
    match wanted:
        case NewMember() | MemberChange():
            return Touched(accounts={wanted.account_id})
        case LimitsChange():
            return Touched(accounts={line.account_id for line in wanted.lines})
        case HandEntry():
            return Touched(accounts=rules.accounts_on(wanted.postings))
        case Correction(entry=entry):
            return Touched(
                accounts=rules.accounts_on(entry.postings),
                transfers={entry.transfer_id} if entry.transfer_id else set(),
            )
        case Propose() | WishToLeave():
            return Touched()


def _decide_trust(view: NodeView, wanted: TrustOrder) -> Effects:
    """Note an act where a person has decided, and none where the watch has."""
    effects = rules.decide_trust(view, wanted)
    if isinstance(wanted, AcceptKeys | TrustAgain):
        return rules.with_act(wanted, effects)
    return effects


def _decide_treasurer(view: NodeView, wanted: _TreasurerOrder, now: Instant) -> Effects:
    """Lead what a treasurer orders to its rule."""
    match wanted:
        case NewMember():
            return rules.decide_member(view, wanted, now)
        case MemberChange():
            return rules.decide_change(view, wanted, now)
        case LimitsChange():
            return rules.decide_limits(view, wanted)
        case HandEntry():
            return rules.decide_entry(view, wanted, now)
        case Correction():
            return rules.decide_correction(view, wanted, now)
        case Propose():
            return rules.decide_propose(view, wanted, now)
        case WishToLeave():
            return rules.decide_leaving_wish(view, wanted, now)


def _decide_item(view: NodeView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Lead an item to its rule; what a hub may not send has no effect."""
    match arrived.item:
        case TransferOffer():
            return rules.decide_offer(view, arrived, now)
        case TransferAnswer():
            return rules.decide_answer(view, arrived)
        case TransferDecision() as decision:
            return rules.decide_decision(view, decision, now)
        case DirectoryDecision() as decision:
            return rules.decide_directory(view, decision, arrived.line, now)
        case LogDecision() as decision:
            return rules.decide_log(decision)
        case ItemRefused():
            return rules.decide_item_refused(view, arrived, now)
        case ItemRefusalCode() as code:
            return Effects(None, (refuse_item(arrived, code),))
        case _:
            return cycles.decide(view, arrived, now)
