"""The group itself: its entry, its accounts, its mirror at the hub."""

from collections.abc import Sequence

from nodes.rules.cycle_records import KeepLog
from nodes.rules.own_keys import answers_about_keys
from nodes.rules.proposals import answers_of_decision
from nodes.rules.view import NodeView, NoteDecision, accounts_of
from protocol.address import Group
from protocol.directory import GroupRecord, check_digits, fold, trusted
from protocol.effects import (
    CallPeople,
    Effects,
    OpenAccount,
    SaveGroup,
    SendItem,
)
from protocol.errors import (
    PeerError,
)
from protocol.instant import Instant
from protocol.messages import (
    DirectoryDecision,
    LogDecision,
    Mirror,
    write_line,
)
from protocol.steps import Step


def decide_directory(
    view: NodeView, decision: DirectoryDecision, line: bytes, now: Instant
) -> Effects:
    """Take a group's entry; our own brings the accounts of its rates.

    Old rates keep theirs: what was fixed under them may still clear.
    """
    note = NoteDecision(decision.log, decision.number)
    try:
        directory = fold(view.directory, decision, line, view.federation)
    except PeerError as error:
        text = f"directory decision {decision.log}/{decision.number}: {error}"
        return Effects(None, (note, CallPeople("directory", text)))
    record = directory[Group(decision.group)]
    calls = _calls_about_keys(view, record)
    if decision.group != view.group:
        return Effects(None, (note, SaveGroup(record), *calls))
    opened = [
        OpenAccount(account)
        for account in accounts_of(record)
        if account.account_id not in view.accounts
    ]
    answers = (
        *answers_about_keys(view, record, now),
        *answers_of_decision(view, record, now),
    )
    return Effects(Step.OWN_ENTRY, (note, SaveGroup(record), *opened, *answers, *calls))


def _calls_about_keys(view: NodeView, record: GroupRecord) -> Sequence[CallPeople]:
    """Call people when nobody has vouched for a group's new keys.

    The old ones count here until they have compared the digits (``nodes.rules.trust``).
    """
    group = Group(record.entry.group)
    before = view.directory.get(group)
    if before is None or before.entry.keys == record.entry.keys:
        return ()
    known = trusted({group: record}, view.trust.accepted)[group]
    if known is record:
        return ()
    was, now = (check_digits(view.federation, one.entry) for one in (known, record))
    text = f"{group} has other keys, and no key of its own has signed for them"
    return (CallPeople("keys", f"{text}: digits {now}; we keep to {was}"),)


def decide_log(decision: LogDecision) -> Effects:
    """Note that the hub began a new log; cycles go by the order of logs."""
    note = NoteDecision(decision.log, decision.number)
    return Effects(None, (note, KeepLog(decision.log)))


def decide_mirror(view: NodeView) -> Effects:
    """Tell the hub our clearing balance after the newest decision taken."""
    if view.newest is None or view.newest == view.mirrored:
        return Effects(None, ())
    log, number = view.newest
    view.mirrored = view.newest
    mirror = Mirror(log=log, number=number, balance=view.clearing_balance)
    return Effects(None, (SendItem("hub", write_line(mirror)),))
