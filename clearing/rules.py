"""What the hub decides: the one moment that counts in every transfer.

Pure: what is known (``HubView``) and what arrived go in, effects come out. The
hub sees groups, amounts, ids and times; never names, accounts or memos. It
decides nothing about a transfer, refusals included, before both its groups have
compared since its start (protocol, section 7).
"""

from typing import Literal

import msgspec

from protocol.address import HUB, FederationId, Group
from protocol.directory import GroupRecord, entry_key, fold
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    EndHold,
    HouseEffect,
    OpenAccount,
    OpenLink,
    PlaceHold,
    PostEntry,
    SaveGroup,
    SaveTransfer,
    SendItem,
    View,
    refuse_item,
    transfer_of,
)
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.instant import Instant, read_instant, write_instant
from protocol.keyring import Keyring, key_id
from protocol.ledger import (
    TIME_UNIT,
    Account,
    AccountKind,
    Entry,
    HoldState,
    Posting,
    may_credit,
    may_debit,
)
from protocol.link import Trouble
from protocol.messages import (
    DirectoryDecision,
    GroupEntry,
    ItemProof,
    ItemRefused,
    KeySpan,
    LogDecision,
    Mirror,
    TransferAccept,
    TransferAnswer,
    TransferCancel,
    TransferDecision,
    TransferOffer,
    TransferPrepare,
    TransferRefuse,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.transfer import (
    DEADLINE_SLACK_MS,
    REACHABLE_MS,
    Event,
    Move,
    Role,
    State,
    Transfer,
    move,
)
from protocol.unit import MILLISECONDS_MAX

#: The hub's own account, for charges and shared losses; no group may be so named.
RESERVE = "reserve"


class AppendDecision(HouseEffect, frozen=True):
    """Keep a decision as the next leaf of the log."""

    log: str
    number: int
    line: bytes


class NoteMirror(HouseEffect, frozen=True):
    """Keep what a node says its clearing balance is."""

    group: str
    log: str
    number: int
    balance: int


class SpendInvitation(HouseEffect, frozen=True):
    """Use up an invitation, for this very request."""

    code_hash: str
    request_hash: str
    at: Instant


class HubView(View):
    """What the hub knows while it decides a batch.

    Attributes:
        federation: the federation's whole id.
        keyring: keys of all groups.
        log: the log of this start, named by its life.
        size: decisions in it so far.
        history: lines of all directory decisions, for a new group.
        invitations: by the hash of their code.
        own_keys: the hub's public keys, as entries write keys.
    """

    def __init__(self, life: str, federation: FederationId) -> None:
        super().__init__(life)
        self.federation = federation
        self.keyring = Keyring()
        self.log = life
        self.size = 0
        self.history: list[bytes] = []
        self.invitations: dict[str, Invitation] = {}
        self.own_keys: frozenset[str] = frozenset()

    def apply_house(self, effect: Effect) -> None:
        """Let the next decision see what only the hub knows."""
        match effect:
            case AppendDecision():
                assert effect.log == self.log and effect.number == self.size
                self.size += 1
            case SpendInvitation():
                self.invitations[effect.code_hash] = msgspec.structs.replace(
                    self.invitations[effect.code_hash],
                    request_hash=effect.request_hash,
                )

    def apply(self, effect: Effect) -> None:
        """Let the next decision see ``effect``."""
        super().apply(effect)
        if isinstance(effect, SaveGroup):
            self.history = [*self.history, effect.record.line]

    def may_decide(self, *groups: str) -> bool:
        """Say whether all these groups have compared since the hub's start.

        A group whose link is frozen counts as frozen and holds nobody up; but a
        hub that is behind on any link may have forgotten what it decided, and
        decides nothing (protocol, section 11).
        """
        if any(link.trouble is Trouble.WE_ARE_BEHIND for link in self.links.values()):
            return False
        return all(
            (link := self.links.get(group)) is not None
            and (link.has_compared or link.trouble is not None)
            for group in groups
        )


def open_log(view: HubView, now: Instant) -> Effects:
    """Begin this start's log; its first leaf ties it to the former one.

    Until checkpoints exist the former one is not known, hence ``None``.
    """
    decision = LogDecision(
        log=view.log, number=view.size, at=write_instant(now), former=None
    )
    line = write_line(decision)
    reserve = Account(account_id=RESERVE, kind=AccountKind.SYSTEM, unit=TIME_UNIT)
    opened = [] if RESERVE in view.accounts else [OpenAccount(reserve)]
    return Effects(
        None,
        (
            *opened,
            AppendDecision(view.log, view.size, line),
            *(SendItem(group, line) for group in sorted(view.directory)),
        ),
    )


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


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """A group's request to be admitted; its signatures were checked."""

    entry: GroupEntry
    signed: str
    code_hash: str
    request_hash: str


class AdmissionRefused(msgspec.Struct, frozen=True):
    """Why a group was not admitted, in a sentence for its treasurer."""

    told: str


def decide_admission(view: HubView, admission: Admission, now: Instant) -> Effects:
    """Admit a group: an account, a decision to all, the directory for itself.

    The outcome is the group's record, or ``AdmissionRefused``. The same request
    again gets the same answer.
    """
    group = Group(admission.entry.group)
    invitation = view.invitations.get(admission.code_hash)
    if invitation is not None and invitation.request_hash == admission.request_hash:
        return Effects(None, (), view.directory[group])
    told = _why_not(view, admission, invitation, now)
    if told is not None or invitation is None:
        return Effects(None, (), AdmissionRefused(told or ""))
    decision = DirectoryDecision(
        log=view.log,
        number=view.size,
        at=write_instant(now),
        group=group,
        entry=admission.signed,
        state="active",
        floor=invitation.floor,
        ceiling=invitation.ceiling,
        keys=[KeySpan(_signing_kid(admission.entry), 1, None)],
    )
    line = write_line(decision)
    directory = fold(view.directory, decision, line, view.federation)
    position = Account(
        account_id=group,
        kind=AccountKind.GROUP,
        unit=TIME_UNIT,
        floor=invitation.floor,
        ceiling=invitation.ceiling,
    )
    wanted: list[Effect] = [
        SpendInvitation(admission.code_hash, admission.request_hash, now),
        OpenAccount(position),
        OpenLink(group),
        AppendDecision(view.log, view.size, line),
        SaveGroup(directory[group]),
    ]
    # A new node folds the directory from its first decision on.
    wanted += [SendItem(group, former) for former in view.history]
    wanted += [SendItem(other, line) for other in sorted(directory)]
    return Effects(Step.ADMIT, wanted, directory[group])


def _why_not(
    view: HubView,
    admission: Admission,
    invitation: Invitation | None,
    now: Instant,
) -> str | None:
    """Say why a group cannot be admitted, or ``None``."""
    entry = admission.entry
    if invitation is None or invitation.group != entry.group:
        return f"This invitation is not one of ours for {entry.group!r}."
    if invitation.request_hash is not None:
        return "This invitation has been used; ask the regional admin for another."
    if now >= invitation.until:
        return "This invitation has expired; ask the regional admin for another."
    if entry.group in (HUB, RESERVE):
        return f"{entry.group!r} is a name of the hub's own."
    if Group(entry.group) in view.directory or entry.version != 1:
        return f"A group {entry.group!r} is already there; names are given once."
    used = {key.key for record in view.directory.values() for key in record.entry.keys}
    used |= view.own_keys
    if any(key.key in used for key in entry.keys):
        return "One of these keys is already in use; make new ones."
    return None


def _signing_kid(entry: GroupEntry) -> str:
    return key_id(entry_key(entry.keys, "signing"))


def decide_prepare(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Hold both positions and offer it, or refuse with the first reason."""
    prepare = arrived.item
    assert isinstance(prepare, TransferPrepare) and arrived.proof is not None
    if prepare.payer_group != arrived.peer:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    prepare_hash = line_hash(arrived.line)
    known = view.transfers.get(prepare.id)
    if known is not None:
        if known.prepare == prepare_hash:
            return Effects(None, ())
        # Kept as proof in the stream; never a second decision.
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    transfer = Transfer(
        transfer_id=prepare.id,
        role=Role.HUB,
        state=State.TAKEN,
        payer_group=prepare.payer_group,
        payee_group=prepare.payee_group,
        milliseconds=prepare.milliseconds,
        payer_rate=prepare.payer_rate,
        payee_rate=prepare.payee_rate,
        decide_by=read_instant(prepare.decide_by),
        prepare=prepare_hash,
        item_number=view.next_number(prepare.payee_group),
        content=prepare.content,
        taken_at=now,
    )
    code = _first_refusal(view, prepare, now)
    if code is None:
        return _offer(transfer, arrived.proof, arrived.box)
    return _refuse_or_wait(view, transfer, None, code, Step.PREPARE_REFUSED, now)


def _offer(transfer: Transfer, proof: ItemProof, box: str | None) -> Effects:
    state = move(Role.HUB, None, Event.HOLD)
    assert state is State.OFFERED
    offer = TransferOffer(
        line=proof.line, index=proof.index, path=proof.path, envelope=proof.envelope
    )
    return Effects(
        Step.PREPARE,
        (
            PlaceHold(
                transfer.transfer_id,
                transfer.payer_group,
                transfer.payee_group,
                transfer.milliseconds,
            ),
            SaveTransfer(msgspec.structs.replace(transfer, state=state)),
            SendItem(transfer.payee_group, write_line(offer), box),
        ),
    )


def _first_refusal(
    view: HubView, prepare: TransferPrepare, now: Instant
) -> RefusalCode | None:
    """Give the first reason, in ``RefusalCode`` order, or ``None``."""
    payer = view.directory.get(Group(prepare.payer_group))
    payee = view.directory.get(Group(prepare.payee_group))
    if payer is None or payee is None or payer is payee:
        return RefusalCode.UNKNOWN_GROUP
    if not _may_trade(view, payer) or not _may_trade(view, payee):
        return RefusalCode.GROUP_FROZEN
    if not 1 <= prepare.milliseconds <= MILLISECONDS_MAX:
        return RefusalCode.AMOUNT_OUT_OF_RANGE
    latest = now + REACHABLE_MS + DEADLINE_SLACK_MS
    if not now < read_instant(prepare.decide_by) <= latest:
        return RefusalCode.DEADLINE_OUT_OF_RANGE
    versions = (payer.rate_version, payee.rate_version)
    if (prepare.payer_rate, prepare.payee_rate) != versions:
        return RefusalCode.RATE_CHANGED
    if prepare.refund_of is not None:
        return RefusalCode.REFUND_UNKNOWN
    return _refusal_by_limits(view, prepare)


def _refusal_by_limits(view: HubView, prepare: TransferPrepare) -> RefusalCode | None:
    amount = prepare.milliseconds
    if may_debit(view.accounts[prepare.payer_group], amount) is not None:
        return RefusalCode.PAYER_GROUP_FLOOR
    if not may_credit(view.accounts[prepare.payee_group], amount):
        return RefusalCode.PAYEE_GROUP_CEILING
    return None


def _may_trade(view: HubView, record: GroupRecord) -> bool:
    """A group whose link has forked counts as frozen (protocol, section 5)."""
    link = view.links.get(record.entry.group)
    is_frozen_link = link is not None and link.trouble is not None
    return record.state == "active" and not is_frozen_link


def decide_reply(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Decide on the payee's accept or refuse, or on the payer's cancel."""
    reply = arrived.item
    assert isinstance(reply, TransferAccept | TransferRefuse | TransferCancel)
    transfer = view.transfers.get(reply.id)
    if transfer is None:
        return _refuse_unknown(view, arrived.peer, reply.id, now)
    if not transfer.prepare:
        return Effects(None, ())
    is_cancel = isinstance(reply, TransferCancel)
    party = transfer.payer_group if is_cancel else transfer.payee_group
    if party != arrived.peer:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    if not isinstance(reply, TransferCancel) and reply.prepare != transfer.prepare:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    if isinstance(reply, TransferAccept):
        return _decide_accept(view, transfer, arrived, now)
    code = RefusalCode.CANCELLED if is_cancel else reply.code  # type: ignore[union-attr]
    step = Step.CANCEL if is_cancel else Step.REFUSE
    answer = None if is_cancel else line_hash(arrived.line)
    return _refuse_or_wait(view, transfer, answer, code, step, now)


def _decide_accept(
    view: HubView, transfer: Transfer, arrived: ArrivedItem, now: Instant
) -> Effects:
    if move(Role.HUB, transfer.state, Event.CLEAR) is Move.KEEP:
        return Effects(None, ())
    assert arrived.proof is not None
    proof = arrived.proof
    answer = TransferAnswer(
        line=proof.line, index=proof.index, path=proof.path, envelope=proof.envelope
    )
    waiting = msgspec.structs.replace(
        transfer,
        answer=line_hash(arrived.line),
        waiting=write_line(answer).decode(),
    )
    if not view.may_decide(transfer.payer_group, transfer.payee_group):
        return Effects(None, (SaveTransfer(waiting),))
    return decide_due(view, waiting, now)


def _refuse_unknown(view: HubView, peer: str, id_: str, now: Instant) -> Effects:
    """Answer an id that the hub does not know with a refusal to its sender."""
    decision = TransferDecision(
        log=view.log,
        number=view.size,
        at=write_instant(now),
        id=id_,
        prepare=None,
        answer=None,
        outcome="refused",
        code=RefusalCode.UNKNOWN_TRANSFER,
    )
    line = write_line(decision)
    # Kept, so that no prepare can ever clear under an id that was once refused.
    refused = Transfer(
        transfer_id=id_,
        role=Role.HUB,
        state=State.REFUSED,
        payer_group=peer,
        payee_group=peer,
        milliseconds=0,
        payer_rate=0,
        payee_rate=0,
        decide_by=now,
        prepare="",
        content="",
        taken_at=now,
        decided_at=now,
        log=view.log,
        number=view.size,
        code=RefusalCode.UNKNOWN_TRANSFER.value,
    )
    appended = AppendDecision(view.log, view.size, line)
    return Effects(Step.REFUSE, (appended, SaveTransfer(refused), SendItem(peer, line)))


def _refuse_or_wait(
    view: HubView,
    transfer: Transfer,
    answer: str | None,
    code: RefusalCode,
    step: Step,
    now: Instant,
) -> Effects:
    """Refuse now, or keep the reason until both groups have compared."""
    if transfer.waiting_code is not None:
        # The first reason stays, whatever came since.
        return decide_due(view, transfer, now)
    is_new = transfer.transfer_id not in view.transfers
    state = None if is_new else transfer.state
    if move(Role.HUB, state, Event.REFUSE) is Move.KEEP:
        return Effects(None, ())
    groups = [
        group
        for group in (transfer.payer_group, transfer.payee_group)
        if Group(group) in view.directory
    ]
    if view.may_decide(*groups):
        return _decide(view, transfer, "refused", answer, code, step, now)
    target = move(Role.HUB, state, Event.WAIT)
    assert isinstance(target, State) or target is Move.KEEP
    kept = msgspec.structs.replace(
        transfer,
        state=target if isinstance(target, State) else transfer.state,
        answer=answer,
        waiting_code=code.value,
    )
    return Effects(None, (SaveTransfer(kept),))


def decide_due(view: HubView, transfer: Transfer, now: Instant) -> Effects:
    """Decide an undecided transfer: its answer came, or its time is up.

    Expiry is compared here only, on the hub's clock: at or past ``decide_by``,
    or earlier than when the prepare was taken (a clock set back). Refusing is
    always safe.
    """
    undecided = transfer.state in (State.TAKEN, State.OFFERED)
    if not undecided or not view.may_decide(
        *(
            group
            for group in (transfer.payer_group, transfer.payee_group)
            if Group(group) in view.directory
        )
    ):
        return Effects(None, ())
    if transfer.waiting_code is not None:
        code = RefusalCode(transfer.waiting_code)
        return _decide(
            view, transfer, "refused", transfer.answer, code, Step.REFUSE, now
        )
    if now >= transfer.decide_by or now < transfer.taken_at:
        code = RefusalCode.PAYEE_UNREACHABLE
        return _decide(view, transfer, "refused", None, code, Step.EXPIRE, now)
    if transfer.waiting is not None:
        return _decide(
            view, transfer, "cleared", transfer.answer, None, Step.ACCEPT, now
        )
    return Effects(None, ())


def _decide(
    view: HubView,
    transfer: Transfer,
    outcome: Literal["cleared", "refused"],
    answer: str | None,
    code: RefusalCode | None,
    step: Step,
    now: Instant,
) -> Effects:
    """Write the one decision, and all that hangs on it."""
    decision = TransferDecision(
        log=view.log,
        number=view.size,
        at=write_instant(now),
        id=transfer.transfer_id,
        prepare=transfer.prepare,
        answer=answer,
        outcome=outcome,
        code=code,
    )
    line = write_line(decision)
    cleared = outcome == "cleared"
    decided = msgspec.structs.replace(
        transfer,
        state=State.CLEARED if cleared else State.REFUSED,
        decided_at=now,
        log=view.log,
        number=view.size,
        code=code.value if code else None,
        answer=answer,
        waiting=None,
        waiting_code=None,
    )
    wanted: list[Effect] = [AppendDecision(view.log, view.size, line)]
    is_held = transfer.transfer_id in view.holds
    if is_held:
        state = HoldState.POSTED if cleared else HoldState.VOIDED
        wanted.append(EndHold(transfer.transfer_id, state))
    if cleared:
        assert is_held and transfer.waiting is not None
        wanted.append(PostEntry(_entry_of(transfer, now)))
        wanted.append(SendItem(transfer.payer_group, transfer.waiting.encode()))
    wanted.append(SaveTransfer(decided))
    wanted.append(SendItem(transfer.payer_group, line))
    if is_held:
        # Before an offer the payee's node knows nothing, and is told nothing.
        wanted.append(SendItem(transfer.payee_group, line))
    return Effects(step, wanted)


def _entry_of(transfer: Transfer, now: Instant) -> Entry:
    return Entry(
        entry_id=transfer.transfer_id,
        at=now,
        kind="transfer",
        postings=(
            Posting(transfer.payer_group, -transfer.milliseconds),
            Posting(transfer.payee_group, transfer.milliseconds),
        ),
        transfer_id=transfer.transfer_id,
        content_id=transfer.content,
    )


def decide_item_refused(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Refuse a transfer whose offer the payee's node could not take."""
    refused = arrived.item
    assert isinstance(refused, ItemRefused)
    line = view.sent_lines.get((arrived.peer, refused.number), b"")
    transfer = view.transfers.get(transfer_of(read_item(line)) or "")
    is_offer = isinstance(read_item(line), TransferOffer)
    if not is_offer or transfer is None or line_hash(line) != refused.hash:
        text = f"{arrived.peer} refused our item {refused.number}: {refused.code}"
        return Effects(None, (CallPeople("item", text),))
    code = RefusalCode.PAYEE_UNREACHABLE
    return _refuse_or_wait(view, transfer, None, code, Step.REFUSE, now)


def decide_mirror(arrived: ArrivedItem) -> Effects:
    """Keep a node's mirror beside its position."""
    mirror = arrived.item
    assert isinstance(mirror, Mirror)
    note = NoteMirror(arrived.peer, mirror.log, mirror.number, mirror.balance)
    return Effects(None, (note,))
