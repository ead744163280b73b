"""The audit on real ledgers: sound ones have no findings, each change is named."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from clearing import (
    audit_cycles,
    audit_limits,
    audit_log,
    audit_shares,
    audit_transfers,
    audit_witnesses,
)
from clearing import audit_store as hub_store
from clearing.audit_store import LogPage, LogRow
from nodes import audit_keys, audit_proofs, audit_trust
from nodes import audit_store as node_store
from protocol.address import HUB, FederationId
from protocol.directory import check_digits, keys_hash
from protocol.instant import Instant, read_instant
from protocol.messages import EntryRate
from protocol.peer import audit_streams
from protocol.peer.audit import (
    DIRECTORY_NAME,
    FINDINGS_MAX,
    AuditAnswer,
    Auditor,
    AuditRunsError,
    Plan,
    audit,
    newest_due,
)
from protocol.peer.audit_store import CHECKS, Walk
from protocol.peer.clock import Clock
from protocol.peer.database import AnyConnection, Database
from protocol.peer.metrics import Metrics
from protocol.peer.settings import DatabaseSettings
from protocol.peer.web import problems
from protocol.peer.web.audits import AuditApi
from protocol.unit import Amount
from tests.peer.audited import (
    LIES,
    Past,
    audited,
    live,
    past,
    payment,
    plan_of,
    take,
)
from tests.peer.federation import Federation, NewDatabase, Server, federation
from tests.peer.makers import entry_of
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE


@pytest.fixture(scope="module")
def kept(postgres_server: str) -> Iterator[Past]:
    made = past(postgres_server)
    yield made
    asyncio.run(made.drop())


class Plant(NamedTuple):
    """A row altered by hand.

    ``key`` and ``value`` are queries: which row it is, and what it says; asked before
    the change ``value`` gives what the audit expects, and after it what it finds.
    """

    where: str
    check: str
    sql: str
    table: str
    key: str
    value: str | None = None


#: A posting of Marie's, neither her first nor her last.
MARIES = (
    "(account_id, sequence) = (SELECT account_id, sequence FROM posting"
    " WHERE account_id = 'marie' ORDER BY sequence OFFSET 2 LIMIT 1)"
)
#: One transfer that is cleared, and the one between the groups.
CLEARED = (
    "transfer_id = (SELECT transfer_id FROM transfer WHERE state = 'cleared'"
    " AND payer_group <> payee_group ORDER BY taken_at, transfer_id LIMIT 1)"
)
INSIDE = (
    "transfer_id = (SELECT transfer_id FROM transfer WHERE state = 'cleared'"
    " AND payer_group = payee_group ORDER BY taken_at, transfer_id LIMIT 1)"
)
REFUSED = (
    "transfer_id = (SELECT transfer_id FROM transfer WHERE state = 'refused'"
    " ORDER BY taken_at, transfer_id LIMIT 1)"
)
#: Refused by the hub before it was offered.
UNOFFERED = (
    "transfer_id = (SELECT transfer_id FROM transfer WHERE item_number IS NULL"
    " AND prepare <> '' ORDER BY taken_at, transfer_id LIMIT 1)"
)
#: The newest that Mechelen was offered by Oostende, and that was not refused.
BEHIND_CAP = (
    "transfer_id = (SELECT transfer_id FROM transfer WHERE payer_group = 'oostende'"
    " AND payee_group = 'mechelen' AND item_number IS NOT NULL"
    " AND state <> 'refused' ORDER BY item_number DESC LIMIT 1)"
)
REFUNDED = (
    "transfer_id = (SELECT refund_of FROM transfer WHERE refund_of IS NOT NULL LIMIT 1)"
)
CORRECTION = "(SELECT min(sequence) FROM entry WHERE corrects IS NOT NULL)"
HELD = (
    "transfer_id = (SELECT transfer_id FROM hold WHERE state = 'held'"
    " ORDER BY transfer_id LIMIT 1)"
)
#: An envelope in the middle of a stream.
MIDDLE = (
    "(peer, direction, first) = (SELECT peer, direction, first FROM envelope"
    " WHERE direction = 'in' ORDER BY peer, first OFFSET 3 LIMIT 1)"
)
LAST_OUT = (
    "(peer, direction, first) = (SELECT peer, direction, first FROM envelope"
    " WHERE direction = 'out' ORDER BY peer, first DESC LIMIT 1)"
)
DECIDED = (
    "sequence = (SELECT decision.sequence FROM decision JOIN transfer"
    " USING (log, number) WHERE state = 'cleared' ORDER BY 1 LIMIT 1)"
)

#: The newest checkpoint of the log.
CHECKPOINT = "size = (SELECT max(size) FROM checkpoint)"

#: The first decision whose place in the log is kept.
PROVEN = (
    "transfer_id = (SELECT transfer_id FROM proof ORDER BY item, transfer_id LIMIT 1)"
)
NOBODYS = "0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"
ACCEPT_RUBBISH = (
    "INSERT INTO accepted_keys (at, group_name, keys, digits, author, reason) VALUES"
    " (now(), 'oostende', 'another', '123412341234', 'ann', 'we compared them')"
)

POSTING_KEY = f"SELECT account_id || ', ' || sequence FROM posting WHERE {MARIES}"
STREAM_KEY = (
    "SELECT peer || ', ' || direction || ', ' || first FROM envelope WHERE " + MIDDLE
)
DECISION_KEY = f"SELECT log || ', ' || number FROM decision WHERE {DECIDED}"

ONE_LEG = "SELECT leg_id::text FROM leg"
PLANTS = [
    # Every ledger.
    Plant(
        OOSTENDE,
        "balances_are_sums",
        "UPDATE account SET balance = balance + 1 WHERE account_id = 'marie'",
        "account",
        "SELECT 'marie'",
        "SELECT balance::text FROM account WHERE account_id = 'marie'",
    ),
    Plant(
        HUB,
        "balances_are_sums",
        "DELETE FROM account WHERE account_id = 'mechelen'",
        "account",
        "SELECT 'mechelen'",
    ),
    Plant(
        OOSTENDE,
        "histories_run",
        f"UPDATE posting SET balance_after = balance_after - 1 WHERE {MARIES}",
        "posting",
        POSTING_KEY,
        f"SELECT balance_after::text FROM posting WHERE {MARIES}",
    ),
    Plant(
        OOSTENDE,
        "histories_run",
        f"UPDATE posting SET amount = amount * 7 WHERE {MARIES}",
        "posting",
        POSTING_KEY,
    ),
    Plant(
        OOSTENDE,
        "entries_sum_to_zero",
        f"UPDATE posting SET amount = amount * 7 WHERE {MARIES}",
        "entry",
        f"SELECT sequence || ', unit' FROM posting WHERE {MARIES}",
    ),
    Plant(
        HUB,
        "entries_sum_to_zero",
        "UPDATE posting SET amount = 1, balance_after = balance_after"
        " WHERE sequence = 2 AND account_id = 'oostende'",
        "entry",
        "SELECT '2, time'",
    ),
    Plant(
        OOSTENDE,
        "entries_have_postings",
        f"DELETE FROM posting WHERE sequence = (SELECT sequence FROM posting"
        f" WHERE {MARIES})",
        "entry",
        f"SELECT sequence::text FROM posting WHERE {MARIES}",
    ),
    Plant(
        OOSTENDE,
        "entries_have_postings",
        "DELETE FROM entry WHERE sequence = 3",
        "entry",
        "SELECT '3'",
    ),
    Plant(
        MECHELEN,
        "entries_have_no_gaps",
        "DELETE FROM entry WHERE sequence = 3",
        "entry",
        "SELECT '4'",
    ),
    Plant(
        HUB,
        "ledger_sums_to_zero",
        "UPDATE account SET balance = balance + 1 WHERE account_id = 'reserve'",
        "account",
        "SELECT 'all, time'",
    ),
    Plant(
        OOSTENDE,
        "held_amounts_are_sums",
        "UPDATE account SET held_out = held_out + 1 WHERE account_id = 'marie'",
        "account",
        "SELECT 'marie'",
        "SELECT 'out ' || held_out || ', in ' || held_in FROM account"
        " WHERE account_id = 'marie'",
    ),
    Plant(
        MECHELEN,
        "held_amounts_are_sums",
        f"DELETE FROM hold WHERE {HELD}",
        "account",
        "SELECT 'bob'",
    ),
    Plant(
        OOSTENDE,
        "holds_follow_transfers",
        f"UPDATE hold SET state = 'voided' WHERE {CLEARED}",
        "hold",
        f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        HUB,
        "holds_follow_transfers",
        f"UPDATE hold SET state = 'posted' WHERE {HELD}",
        "hold",
        f"SELECT transfer_id::text FROM hold WHERE {HELD}",
    ),
    Plant(
        HUB,
        "holds_follow_transfers",
        f"DELETE FROM transfer WHERE {CLEARED}",
        "hold",
        f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        OOSTENDE,
        "holds_follow_transfers",
        f"INSERT INTO hold SELECT transfer_id, 'marie', 'lies', 1, 'held'"
        f" FROM transfer WHERE {INSIDE}",
        "hold",
        f"SELECT transfer_id::text FROM transfer WHERE {INSIDE}",
    ),
    Plant(
        OOSTENDE,
        "entries_are_of_cleared_transfers",
        f"UPDATE transfer SET state = 'refused' WHERE {CLEARED}",
        "entry",
        f"SELECT sequence::text FROM entry WHERE {CLEARED}",
    ),
    Plant(
        OOSTENDE,
        "entries_are_of_cleared_transfers",
        f"UPDATE entry SET content_id = 'another' WHERE {INSIDE}",
        "entry",
        f"SELECT sequence::text FROM entry WHERE {INSIDE}",
    ),
    Plant(
        MECHELEN,
        "refunds_are_counted",
        f"UPDATE transfer SET refunded = refunded - 1 WHERE {REFUNDED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {REFUNDED}",
        f"SELECT 'cleared, refunded ' || refunded FROM transfer WHERE {REFUNDED}",
    ),
    Plant(
        HUB,
        "refunds_are_counted",
        # Its one refund is of a transfer that nobody knows.
        "UPDATE transfer SET refund_of = gen_random_uuid() WHERE refund_of IS NOT NULL",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {REFUNDED}",
    ),
    Plant(
        OOSTENDE,
        "corrections_are_negations",
        f"UPDATE posting SET amount = amount * 2 WHERE sequence = {CORRECTION}",
        "entry",
        f"SELECT {CORRECTION} || ', lies'",
        f"SELECT amount::text FROM posting WHERE account_id = 'lies'"
        f" AND sequence = {CORRECTION}",
    ),
    Plant(
        OOSTENDE,
        "corrections_are_negations",
        f"UPDATE entry SET corrects = gen_random_uuid() WHERE sequence = {CORRECTION}",
        "entry",
        f"SELECT {CORRECTION} || ', marie'",
    ),
    Plant(
        OOSTENDE,
        "contents_have_their_names",
        "UPDATE content SET line = line || ' '::bytea WHERE content_id ="
        " (SELECT min(content_id) FROM content)",
        "content",
        "SELECT min(content_id) FROM content",
    ),
    # Every link.
    Plant(
        HUB,
        "items_have_no_gaps",
        "DELETE FROM item WHERE (peer, direction, number) = ('oostende', 'in', 4)",
        "item",
        "SELECT 'oostende, in, 5'",
    ),
    Plant(
        MECHELEN,
        "items_have_no_gaps",
        "DELETE FROM item WHERE (peer, direction, number) = ('hub', 'out', 1)",
        "item",
        "SELECT 'hub, out, 2'",
    ),
    Plant(
        OOSTENDE,
        "links_stand_where_streams_end",
        "UPDATE link SET taken = taken - 1",
        "link",
        "SELECT 'hub, taken'",
        "SELECT taken || ' ' || taken_head FROM link",
    ),
    Plant(
        OOSTENDE,
        "links_stand_where_streams_end",
        "UPDATE link SET sent_head = taken_head",
        "link",
        "SELECT 'hub, sent'",
        "SELECT sent || ' ' || sent_head FROM link",
    ),
    Plant(
        HUB,
        "links_stand_where_streams_end",
        "UPDATE link SET acknowledged_head = taken_head WHERE peer = 'mechelen'",
        "link",
        "SELECT 'mechelen, acknowledged'",
    ),
    Plant(
        HUB,
        "links_stand_where_streams_end",
        "DELETE FROM item WHERE peer = 'mechelen' AND direction = 'in' AND number ="
        " (SELECT taken FROM link WHERE peer = 'mechelen')",
        "link",
        "SELECT 'mechelen, items taken'",
    ),
    Plant(
        HUB,
        "links_stand_where_streams_end",
        "DELETE FROM link WHERE peer = 'mechelen'",
        "link",
        "SELECT 'mechelen, taken'",
    ),
    Plant(
        HUB,
        audit_streams.NAME,
        f"UPDATE envelope SET line_1 = overlay(line_1 placing"
        f" CASE substr(line_1, 200, 1) WHEN 'A' THEN 'B' ELSE 'A' END from 200)"
        f" WHERE {MIDDLE}",
        "envelope",
        STREAM_KEY,
    ),
    Plant(
        HUB,
        audit_streams.NAME,
        f"UPDATE envelope SET line_1 = overlay(line_1 placing"
        f" CASE right(line_1, 2) WHEN 'AA' THEN 'BA' ELSE 'AA' END"
        f" from length(line_1) - 1) WHERE {MIDDLE}",
        "envelope",
        STREAM_KEY,
    ),
    Plant(
        OOSTENDE,
        audit_streams.NAME,
        f"UPDATE envelope SET line_1 = (SELECT line_1 FROM envelope WHERE {LAST_OUT})"
        f" WHERE {MIDDLE}",
        "envelope",
        STREAM_KEY,
    ),
    Plant(
        HUB,
        audit_streams.NAME,
        f"UPDATE envelope SET payload_hash = 'another' WHERE {MIDDLE}",
        "envelope",
        STREAM_KEY,
        f"SELECT 'payload_hash ' || payload_hash FROM envelope WHERE {MIDDLE}",
    ),
    Plant(
        HUB,
        audit_streams.NAME,
        f"UPDATE envelope SET life = 'another' WHERE {MIDDLE}",
        "envelope",
        STREAM_KEY,
        f"SELECT 'life ' || life FROM envelope WHERE {MIDDLE}",
    ),
    Plant(
        HUB,
        audit_streams.NAME,
        f"DELETE FROM envelope WHERE {MIDDLE}",
        "envelope",
        # The one after it, which hangs in the air now.
        "SELECT peer || ', ' || direction || ', ' || first + count FROM envelope WHERE "
        + MIDDLE,
    ),
    Plant(
        HUB,
        audit_streams.NAME,
        f"UPDATE item SET line = line || ' '::bytea WHERE (peer, direction, number) ="
        f" (SELECT peer, direction, first FROM envelope WHERE {MIDDLE})",
        "item",
        "SELECT peer || ', ' || direction || ', ' || first || ' to ' ||"
        f" first + count - 1 FROM envelope WHERE {MIDDLE}",
    ),
    Plant(
        OOSTENDE,
        DIRECTORY_NAME,
        "UPDATE directory_change SET line = 'nonsense' WHERE sequence = 2",
        "directory_change",
        "SELECT '2'",
    ),
    Plant(
        HUB,
        DIRECTORY_NAME,
        "UPDATE directory_change SET line = convert_to(regexp_replace("
        "convert_from(line, 'UTF8'), '\"entry\":\"....', '\"entry\":\"AAAA'),"
        " 'UTF8') WHERE sequence = 1",
        "directory_change",
        "SELECT '1'",
    ),
    Plant(
        OOSTENDE,
        DIRECTORY_NAME,
        "UPDATE directory_change SET group_name = 'gent' WHERE sequence = 1",
        "directory_change",
        "SELECT '1'",
    ),
    Plant(
        MECHELEN,
        DIRECTORY_NAME,
        "UPDATE directory_change SET sequence = 7 WHERE sequence = 2",
        "directory_change",
        "SELECT '7'",
    ),
    # A node's.
    Plant(
        OOSTENDE,
        "cleared_transfers_are_booked",
        f"UPDATE transfer SET amount = amount + 1 WHERE {CLEARED}",
        "posting",
        f"SELECT transfer_id || ', ' || account FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        MECHELEN,
        "cleared_transfers_are_booked",
        f"UPDATE posting SET account_id = 'suspense' WHERE account_id = 'clearing'"
        f" AND sequence = (SELECT sequence FROM entry WHERE {CLEARED})",
        "posting",
        f"SELECT transfer_id || ', clearing' FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        MECHELEN,
        "cleared_transfers_are_booked",
        f"UPDATE entry SET transfer_id = NULL WHERE {CLEARED}",
        "posting",
        f"SELECT transfer_id || ', bob' FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        OOSTENDE,
        "payments_inside_are_booked",
        f"UPDATE transfer SET amount = amount + 1 WHERE {INSIDE}",
        "posting",
        f"SELECT transfer_id || ', ' || account FROM transfer WHERE {INSIDE}",
    ),
    Plant(
        OOSTENDE,
        "payments_inside_are_booked",
        f"UPDATE posting SET account_id = 'fund' WHERE account_id = 'marie'"
        f" AND sequence = (SELECT sequence FROM entry WHERE {INSIDE})",
        "posting",
        f"SELECT transfer_id || ', ' || account FROM transfer WHERE {INSIDE}",
    ),
    Plant(
        OOSTENDE,
        "payments_inside_are_booked",
        f"UPDATE posting SET account_id = 'fund' WHERE account_id = 'lies'"
        f" AND sequence = (SELECT sequence FROM entry WHERE {INSIDE})",
        "posting",
        f"SELECT transfer_id || ', ' || account FROM transfer WHERE {INSIDE}",
    ),
    Plant(
        MECHELEN,
        "holds_are_what_was_asked",
        f"UPDATE hold SET amount = amount + 1 WHERE {CLEARED}",
        "hold",
        f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        OOSTENDE,
        "holds_are_what_was_asked",
        "UPDATE hold SET debit_account = 'lies' WHERE debit_account = 'marie'"
        f" AND {HELD}",
        "hold",
        f"SELECT transfer_id::text FROM hold WHERE {HELD}",
    ),
    Plant(
        OOSTENDE,
        "transfers_gain_nothing",
        f"UPDATE transfer SET amount = amount + 1 WHERE {CLEARED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        MECHELEN,
        "transfers_gain_nothing",
        f"UPDATE transfer SET payer_rate = 2, payee_rate = 2 WHERE {CLEARED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        OOSTENDE,
        "conversions_are_worth_something",
        # A million hours out of nothing, and back: worth what it was in the end.
        "UPDATE posting SET amount = amount - 3600000000000"
        " WHERE account_id = 'conversion.1.time' AND sequence ="
        " (SELECT min(sequence) FROM posting WHERE account_id = 'conversion.1.time');"
        "UPDATE posting SET amount = amount + 3600000000000"
        " WHERE account_id = 'conversion.1.time' AND sequence ="
        " (SELECT max(sequence) FROM posting WHERE account_id = 'conversion.1.time')",
        "posting",
        "SELECT 'conversion.1, ' || min(sequence) FROM posting"
        " WHERE account_id = 'conversion.1.time'",
    ),
    Plant(
        OOSTENDE,
        "conversions_have_their_rate",
        "INSERT INTO account VALUES"
        " ('conversion.9', 'system', 'unit', 0, 0, 0, NULL, NULL, false, false)",
        "account",
        "SELECT 'conversion.9'",
    ),
    Plant(
        MECHELEN,
        "directory_came_from_the_hub",
        "UPDATE directory_change SET line = convert_to(replace("
        'convert_from(line, \'UTF8\'), \'"state":"active"\', \'"state":"frozen"\'),'
        " 'UTF8') WHERE sequence = 2",
        "directory_change",
        "SELECT sequence || ', ' || group_name FROM directory_change"
        " WHERE sequence = 2",
    ),
    # The hub's.
    Plant(
        HUB,
        "cleared_transfers_are_booked",
        f"UPDATE transfer SET milliseconds = milliseconds + 1 WHERE {CLEARED}",
        "posting",
        f"SELECT transfer_id || ', ' || payee_group FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        HUB,
        "cleared_transfers_are_booked",
        # Booked twice, under another id.
        "INSERT INTO entry (sequence, entry_id, at, kind, transfer_id, content_id)"
        " SELECT (SELECT max(sequence) + 1 FROM entry), gen_random_uuid(), at, kind,"
        f" transfer_id, content_id FROM entry WHERE {CLEARED};"
        "INSERT INTO posting SELECT account_id, (SELECT max(sequence) FROM entry),"
        " posting.amount, balance + posting.amount FROM posting JOIN account"
        f" USING (account_id) WHERE sequence = (SELECT min(sequence) FROM entry"
        f" WHERE {CLEARED});"
        "UPDATE account SET balance = balance_after FROM posting"
        " WHERE posting.account_id = account.account_id"
        " AND sequence = (SELECT max(sequence) FROM entry)",
        "posting",
        f"SELECT transfer_id || ', ' || payee_group FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        HUB,
        "holds_are_what_was_asked",
        f"UPDATE hold SET amount = amount + 1 WHERE {CLEARED}",
        "hold",
        f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
    ),
    Plant(
        HUB,
        "decisions_have_no_gaps",
        f"DELETE FROM decision WHERE {DECIDED}",
        "decision",
        "SELECT log || ', ' || number + 1 FROM decision WHERE " + DECIDED,
    ),
    Plant(
        HUB,
        "transfers_have_decisions",
        f"DELETE FROM decision WHERE {DECIDED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer JOIN decision USING (log, number)"
        f" WHERE {DECIDED}",
    ),
    Plant(
        HUB,
        "transfers_have_decisions",
        f"UPDATE transfer SET state = 'offered' WHERE {REFUSED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {REFUSED}",
    ),
    Plant(
        HUB,
        "mirrors_are_positions",
        "UPDATE mirror SET balance = balance + 1 WHERE group_name = 'mechelen'",
        "mirror",
        "SELECT 'mechelen'",
    ),
    Plant(
        HUB,
        "mirrors_are_positions",
        "UPDATE mirror SET number = 10000 WHERE group_name = 'oostende'",
        "mirror",
        "SELECT 'oostende'",
    ),
    Plant(
        HUB,
        "directory_was_decided",
        "UPDATE directory_change SET line = convert_to(replace("
        'convert_from(line, \'UTF8\'), \'"state":"active"\', \'"state":"left"\'),'
        " 'UTF8') WHERE sequence = 1",
        "directory_change",
        "SELECT sequence || ', ' || group_name FROM directory_change"
        " WHERE sequence = 1",
    ),
    Plant(
        HUB,
        hub_store.DECISIONS_NAME,
        f"UPDATE decision SET line = '{{' WHERE {DECIDED}",
        "decision",
        DECISION_KEY,
    ),
    Plant(
        HUB,
        hub_store.DECISIONS_NAME,
        "UPDATE decision SET line = convert_to(replace(convert_from(line, 'UTF8'),"
        f" '\"cleared\"', '\"refused\"'), 'UTF8') WHERE {DECIDED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer JOIN decision USING (log, number)"
        f" WHERE {DECIDED}",
    ),
    Plant(
        HUB,
        hub_store.DECISIONS_NAME,
        "UPDATE entry SET kind = 'local' WHERE transfer_id = (SELECT transfer_id"
        f" FROM transfer JOIN decision USING (log, number) WHERE {DECIDED})",
        "transfer",
        f"SELECT transfer_id::text FROM transfer JOIN decision USING (log, number)"
        f" WHERE {DECIDED}",
    ),
    Plant(
        HUB,
        hub_store.DECISIONS_NAME,
        f"UPDATE transfer SET log = NULL, number = NULL WHERE {REFUSED}",
        "decision",
        f"SELECT log || ', ' || number FROM transfer WHERE {REFUSED}",
    ),
    Plant(
        HUB,
        audit_log.NAME,
        "UPDATE checkpoint SET note = replace(note, 'directory 5', 'directory 6')"
        f" WHERE {CHECKPOINT}",
        "checkpoint",
        f"SELECT log || ', ' || size FROM checkpoint WHERE {CHECKPOINT}",
    ),
    Plant(
        HUB,
        audit_log.NAME,
        f"UPDATE checkpoint SET root = 'another' WHERE {CHECKPOINT}",
        "checkpoint",
        f"SELECT log || ', ' || size FROM checkpoint WHERE {CHECKPOINT}",
        f"SELECT 'root ' || root FROM checkpoint WHERE {CHECKPOINT}",
    ),
    Plant(
        HUB,
        "logs_are_stated_to_their_ends",
        "DELETE FROM checkpoint",
        "checkpoint",
        f"SELECT log || ', ' || size FROM checkpoint WHERE {CHECKPOINT}",
    ),
    Plant(
        HUB,
        "logs_are_stated_to_their_ends",
        f"UPDATE checkpoint SET size = size + 1 WHERE {CHECKPOINT}",
        "checkpoint",
        f"SELECT log || ', ' || size + 1 FROM checkpoint WHERE {CHECKPOINT}",
    ),
    Plant(
        HUB,
        "logs_are_stated_to_their_ends",
        "INSERT INTO tile_hash SELECT log, 1, 2^60, '' FROM checkpoint LIMIT 1",
        "tile_hash",
        "SELECT log || ', 1, 1152921504606846976' FROM checkpoint LIMIT 1",
    ),
    Plant(
        HUB,
        audit_log.NAME,
        f"UPDATE decision SET line = line || ' '::bytea WHERE {DECIDED}",
        "checkpoint",
        "SELECT log || ', ' || min(size) FROM checkpoint JOIN decision USING (log)"
        f" WHERE size > number AND {DECIDED} GROUP BY log",
    ),
    # What was decided about accounts, and what is believed.
    Plant(
        MECHELEN,
        "system_accounts_have_no_limits",
        "UPDATE account SET ceiling = 7 WHERE account_id = 'clearing'",
        "account",
        "SELECT 'clearing'",
        "SELECT 'ceiling ' || coalesce(ceiling::text, 'none') FROM account"
        " WHERE account_id = 'clearing'",
    ),
    Plant(
        HUB,
        "system_accounts_have_no_limits",
        "UPDATE account SET frozen = true WHERE account_id = 'reserve'",
        "account",
        "SELECT 'reserve'",
        "SELECT 'frozen ' || frozen FROM account WHERE account_id = 'reserve'",
    ),
    *(
        Plant(
            OOSTENDE,
            "members_are_as_decided",
            f"UPDATE account SET {column} = {value} WHERE account_id = 'lies'",
            "account",
            "SELECT 'lies'",
            f"SELECT '{column} ' || coalesce({column}::text, 'none') FROM account"
            " WHERE account_id = 'lies'",
        )
        for column, value in [
            ("floor", "floor - 1"),
            ("floor", "NULL"),
            ("ceiling", "ceiling + 1"),
            ("ceiling", "NULL"),
            ("frozen", "true"),
            ("kind", "'system'"),
            ("unit", "'time'"),
        ]
    ),
    Plant(
        OOSTENDE,
        "members_are_as_decided",
        # One who may be empty, so that the second lock lets it pass.
        "INSERT INTO account VALUES"
        " ('late', 'member', 'unit', 0, 0, 0, NULL, NULL, false, true);"
        "INSERT INTO member_limit (account_id, at, name, frozen, closed)"
        " VALUES ('late', now(), 'Late', false, false)",
        "account",
        "SELECT 'late'",
        "SELECT 'closed ' || CASE WHEN EXISTS (SELECT FROM account"
        " WHERE account_id = 'late') THEN 'true' ELSE 'false' END",
    ),
    Plant(
        OOSTENDE,
        "members_are_as_decided",
        "INSERT INTO account VALUES"
        " ('late', 'member', 'unit', 0, 0, 0, NULL, NULL, false, false)",
        "account",
        "SELECT 'late'",
    ),
    Plant(
        OOSTENDE,
        "members_are_as_decided",
        "UPDATE member SET name = 'Liesbeth' WHERE account_id = 'lies'",
        "member",
        "SELECT 'lies'",
        "SELECT 'name ' || name FROM member WHERE account_id = 'lies'",
    ),
    Plant(
        OOSTENDE,
        "members_are_as_decided",
        "UPDATE member_limit SET ceiling = ceiling + 1 WHERE number ="
        " (SELECT max(number) FROM member_limit WHERE account_id = 'lies')",
        "account",
        "SELECT 'lies'",
    ),
    *(
        Plant(
            HUB,
            "groups_are_as_decided",
            f"UPDATE account SET {column} = {value} WHERE account_id = 'mechelen'",
            "account",
            "SELECT 'mechelen'",
            f"SELECT '{column} ' || coalesce({column}::text, 'none') FROM account"
            " WHERE account_id = 'mechelen'",
        )
        for column, value in [
            ("floor", "floor - 1"),
            ("ceiling", "NULL"),
            ("frozen", "true"),
            ("kind", "'member'"),
        ]
    ),
    Plant(
        HUB,
        "groups_are_as_decided",
        "INSERT INTO account VALUES"
        " ('gent', 'group', 'time', 0, 0, 0, -1, 1, false, false)",
        "account",
        "SELECT 'gent'",
    ),
    Plant(
        OOSTENDE,
        "trust_follows_doubts",
        "UPDATE trust SET doubt_id = doubt_id + 1",
        "trust",
        "SELECT trust_id::text FROM trust",
        "SELECT 'doubt ' || doubt_id FROM trust",
    ),
    Plant(
        OOSTENDE,
        "trust_follows_doubts",
        "UPDATE belief SET era = 2 WHERE era = 1",
        "belief",
        "SELECT '2, ' || log FROM belief WHERE era = 1",
    ),
    Plant(
        OOSTENDE,
        "trust_follows_doubts",
        "INSERT INTO belief SELECT era, 'another', place + 2, size, root, note, at"
        " FROM belief WHERE era = 1",
        "belief",
        "SELECT '1, another'",
    ),
    Plant(
        MECHELEN,
        "trust_follows_doubts",
        "UPDATE compared_item SET number = 1000000",
        "compared_item",
        "SELECT 'the one'",
    ),
    Plant(
        MECHELEN,
        audit_trust.NAME,
        "UPDATE belief SET size = size + 1",
        "belief",
        "SELECT era || ', ' || log FROM belief",
        "SELECT 'size ' || size FROM belief",
    ),
    Plant(
        MECHELEN,
        audit_trust.NAME,
        "UPDATE belief SET root = 'another'",
        "belief",
        "SELECT era || ', ' || log FROM belief",
        "SELECT 'root ' || root FROM belief",
    ),
    Plant(
        OOSTENDE,
        audit_trust.NAME,
        "UPDATE belief SET log = 'another' WHERE era = 0",
        "belief",
        "SELECT '0, another'",
    ),
    Plant(
        OOSTENDE,
        audit_trust.NAME,
        "UPDATE belief SET note = replace(note, 'directory', 'directorY')"
        " WHERE era = 1",
        "belief",
        "SELECT era || ', ' || log FROM belief WHERE era = 1",
    ),
    Plant(
        OOSTENDE,
        audit_trust.NAME,
        "UPDATE belief SET note = replace(note, 'directory 5', 'directory 6')"
        " WHERE era = 1",
        "belief",
        "SELECT era || ', ' || log FROM belief WHERE era = 1",
    ),
    # Whose keys count since people compared them, and where decisions stand.
    *(
        Plant(MECHELEN, check, ACCEPT_RUBBISH, "accepted_keys", "SELECT '1'")
        for check in ("accepted_keys_have_their_act", audit_keys.NAME)
    ),
    Plant(
        MECHELEN,
        "accepted_keys_have_their_act",
        "INSERT INTO act (number, at, author, deed, about, details, reason)"
        " OVERRIDING SYSTEM VALUE VALUES"
        " (1000, now(), 'ann', 'keys-accepted', 'oostende', '{}', 'we compared them')",
        "act",
        "SELECT '1000'",
    ),
    *(
        Plant(
            OOSTENDE,
            audit_proofs.NAME,
            f"UPDATE proof SET {change} WHERE {PROVEN}",
            "proof",
            f"SELECT transfer_id::text FROM proof WHERE {PROVEN}",
        )
        for change in (
            "path = overlay(path PLACING '\\x00'::bytea FROM 1 FOR 1)",
            "path = '\\x00'",
            "path = ''",
            "item = 1",
            "item = item + 1000000",
            "item = (SELECT max(one.item) FROM proof AS one)",
            "size = size + 1",
            "log = 'another'",
        )
    ),
    Plant(
        OOSTENDE,
        audit_proofs.NAME,
        "INSERT INTO proof SELECT gen_random_uuid(), item, log, size, path FROM proof"
        f" WHERE {PROVEN}; UPDATE proof SET transfer_id = '{NOBODYS}' WHERE transfer_id"
        " NOT IN (SELECT transfer_id FROM transfer)",
        "proof",
        f"SELECT '{NOBODYS}'",
    ),
    Plant(
        OOSTENDE,
        audit_proofs.NAME,
        "UPDATE proven_checkpoint SET note = replace(note, 'directory', 'directorY')",
        "proven_checkpoint",
        "SELECT log || ', ' || size FROM proven_checkpoint",
    ),
    *(
        Plant(
            OOSTENDE,
            audit_proofs.NAME,
            "INSERT INTO proven_checkpoint"
            f" SELECT log, size + 1, {note} FROM proven_checkpoint",
            "proven_checkpoint",
            "SELECT log || ', ' || size + 1 FROM proven_checkpoint",
        )
        for note in ("note", "'rubbish'")
    ),
    Plant(
        OOSTENDE,
        audit_proofs.NAME,
        "UPDATE transfer SET decided_at = decided_at + interval '1 hour'"
        f" WHERE {PROVEN}",
        "transfer",
        f"SELECT transfer_id::text FROM proof WHERE {PROVEN}",
        "SELECT 'decided_at '"
        ' || to_char(decided_at, \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')'
        f" FROM transfer WHERE {PROVEN}",
    ),
    *(
        Plant(
            HUB,
            hub_store.DECISIONS_NAME,
            f"UPDATE transfer SET decided_at = {value} WHERE {CLEARED}",
            "transfer",
            f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
        )
        for value in ("decided_at - interval '1 day'", "'infinity'", "NULL")
    ),
    # The hub's transfers, and the items that they are from.
    *(
        Plant(
            HUB,
            audit_transfers.NAME,
            f"UPDATE transfer SET {column} = {value} WHERE {CLEARED}",
            "transfer",
            f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
            f"SELECT '{column} ' || coalesce({column}::text, 'none') FROM transfer"
            f" WHERE {CLEARED}",
        )
        for column, value in [
            ("payer_rate", "payer_rate + 1"),
            ("payee_rate", "payee_rate + 1"),
            ("milliseconds", "milliseconds + 1"),
            ("refund_of", "transfer_id"),
            ("content", "'another'"),
        ]
    ),
    Plant(
        HUB,
        audit_transfers.NAME,
        f"UPDATE transfer SET payee_rate = payee_rate + 1 WHERE {UNOFFERED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {UNOFFERED}",
        f"SELECT 'payee_rate ' || payee_rate FROM transfer WHERE {UNOFFERED}",
    ),
    Plant(
        HUB,
        audit_transfers.NAME,
        f"UPDATE transfer SET prepare = 'another' WHERE {UNOFFERED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {UNOFFERED}",
    ),
    Plant(
        HUB,
        audit_transfers.NAME,
        # As if it had refused an id that nobody asked under.
        f"UPDATE transfer SET prepare = '' WHERE {UNOFFERED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {UNOFFERED}",
    ),
    *(
        Plant(
            HUB,
            audit_transfers.NAME,
            f"UPDATE transfer SET {column} = {value} WHERE {CLEARED}",
            "transfer",
            f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
        )
        for column, value in [
            # Another offer or answer, no such item, and one of another kind.
            (
                "item_number",
                "(SELECT max(one.item_number) FROM transfer AS one"
                " WHERE one.payee_group = transfer.payee_group)",
            ),
            ("item_number", "1000000"),
            ("item_number", "1"),
            (
                "answer_number",
                "(SELECT max(one.answer_number) FROM transfer AS one"
                " WHERE one.payer_group = transfer.payer_group)",
            ),
            ("answer_number", "9223372036854775807"),
            ("answer_number", "answer_number + 1"),
        ]
    ),
    Plant(
        HUB,
        audit_transfers.NAME,
        "UPDATE item SET line = '\\x00ff' WHERE (peer, direction, number) ="
        f" (SELECT payee_group, 'out', item_number FROM transfer WHERE {CLEARED})",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
    ),
    *(
        Plant(
            HUB,
            "transfers_number_their_items",
            f"UPDATE transfer SET {column} = NULL WHERE {CLEARED}",
            "transfer",
            f"SELECT transfer_id::text FROM transfer WHERE {CLEARED}",
        )
        for column in ("item_number", "answer_number")
    ),
    Plant(
        HUB,
        "transfers_number_their_items",
        f"UPDATE transfer SET answer_number = 2 WHERE {UNOFFERED}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {UNOFFERED}",
        f"SELECT 'answer_number ' || coalesce(answer_number::text, 'none')"
        f" FROM transfer WHERE {UNOFFERED}",
    ),
    Plant(
        HUB,
        audit_witnesses.NAME,
        "UPDATE witness SET group_name = 'oostende'",
        "witness",
        "SELECT log || ', ' || size || ', oostende' FROM witness",
    ),
    Plant(
        HUB,
        audit_witnesses.NAME,
        "UPDATE witness SET cover = replace(cover, '.', 'A.')",
        "witness",
        "SELECT log || ', ' || size || ', mechelen' FROM witness",
    ),
    Plant(
        HUB,
        audit_witnesses.NAME,
        "UPDATE witness SET size = size - 1",
        "witness",
        "SELECT log || ', ' || size - 1 || ', mechelen' FROM witness",
    ),
    Plant(
        HUB,
        audit_witnesses.NAME,
        "UPDATE witness SET size = size + 1000",
        "witness",
        "SELECT log || ', ' || size + 1000 || ', mechelen' FROM witness",
    ),
    Plant(
        HUB,
        "settled_legs_are_booked",
        "UPDATE leg SET milliseconds = milliseconds + 1",
        "posting",
        "SELECT leg_id || ', ' || debtor FROM leg",
    ),
    Plant(
        HUB,
        "settled_legs_are_booked",
        "UPDATE entry SET kind = 'local' WHERE kind = 'settlement'",
        "posting",
        "SELECT leg_id || ', ' || creditor FROM leg",
    ),
    Plant(
        HUB,
        "legs_were_decided",
        "UPDATE leg SET paid = received",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    Plant(
        HUB,
        "legs_were_decided",
        "UPDATE leg SET number = number - 1",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    Plant(
        HUB,
        "words_were_taken",
        "UPDATE leg SET state = 'open', log = NULL, paid = received",
        "leg",
        "SELECT leg_id::text FROM leg",
        "SELECT NULL",
    ),
    Plant(
        HUB,
        "words_were_taken",
        "UPDATE leg SET received = 'eBW0MdsMUgyzBp78DGDiAXlzYQupwzrrscsikQQYroQ'",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    *(
        Plant(
            HUB, check, f"UPDATE leg SET {sql}", "leg", "SELECT leg_id::text FROM leg"
        )
        for check, sql in (
            ("legs_were_told", "cycle = cycle + 1"),
            ("legs_were_told", "debtor = 'gent'"),
            ("legs_were_decided", "ended_at = ended_at - interval '1 ms'"),
            ("legs_were_decided", "code = 'cancelled'"),
            ("legs_were_decided", "state = 'void'"),
            ("legs_were_decided", "log = 'AAAAAAAAAAA'"),
        )
    ),
    Plant(
        HUB,
        "words_were_taken",
        "UPDATE leg SET leg_id = '2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10'",
        "leg",
        "SELECT '2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10'",
    ),
    *(
        Plant(HUB, "words_were_taken", sql, "leg", ONE_LEG)
        for sql in (
            "UPDATE leg SET paid_at = paid_at + interval '1 ms'",
            "UPDATE leg SET received_at = received_at - interval '1 ms'",
            "UPDATE leg SET paid_at = NULL",
            "UPDATE leg SET state = 'open', log = NULL, received = NULL",
            "UPDATE word SET item = item + 1 WHERE said = 'paid'",
            "UPDATE word SET party = 'gent' WHERE said = 'received'",
            "DELETE FROM word WHERE said = 'received'",
        )
    ),
    Plant(
        HUB,
        "words_were_taken",
        "INSERT INTO word VALUES ('2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10', 'paid',"
        " 'oostende', 1)",
        "word",
        "SELECT '2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10, paid'",
    ),
    Plant(
        HUB,
        audit_cycles.NAME,
        "UPDATE leg SET place = place + 1",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    *(
        Plant(HUB, audit_cycles.NAME, sql, "settlement", "SELECT '1, 0'")
        for sql in (
            "UPDATE settlement SET at = at + interval '1 ms'",
            "UPDATE settlement SET legs = 2",
            "UPDATE settlement SET excepted = '{oostende}'",
            "UPDATE settlement SET excepted = '{nobody}'",
            "UPDATE settlement SET excepted = '{mechelen,mechelen}'",
            "UPDATE leg SET milliseconds = milliseconds - 1",
        )
    ),
    Plant(
        HUB,
        audit_cycles.NAME,
        "UPDATE settlement SET place = 1",
        "settlement",
        "SELECT '1, 1'",
    ),
    Plant(
        HUB,
        audit_cycles.NAME,
        "DELETE FROM settlement",
        "cycle",
        "SELECT '1'",
        "SELECT NULL",
    ),
    Plant(
        HUB,
        "statements_were_answered",
        "UPDATE statement SET answered_at = answered_at + interval '1 ms'"
        " WHERE group_name = 'mechelen'",
        "statement",
        "SELECT '1, mechelen'",
    ),
    Plant(
        HUB,
        "legs_were_told",
        "UPDATE leg SET at = at + interval '1 ms'",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    Plant(
        HUB,
        "legs_were_told",
        "UPDATE leg SET creditor = 'gent'",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    Plant(
        HUB,
        "statements_were_answered",
        "UPDATE statement SET answer = answer - 1 WHERE group_name = 'oostende'",
        "statement",
        "SELECT '1, oostende'",
    ),
    Plant(
        HUB,
        "statements_were_answered",
        "UPDATE statement SET dispute = line WHERE group_name = 'oostende'",
        "statement",
        "SELECT '1, oostende'",
    ),
    Plant(
        HUB,
        "statements_were_answered",
        "UPDATE statement SET state = 'disputed' WHERE group_name = 'mechelen'",
        "statement",
        "SELECT '1, mechelen'",
    ),
    Plant(
        HUB,
        "cycles_were_decided",
        "UPDATE cycle SET reserve = 1",
        "cycle",
        "SELECT '1'",
    ),
    Plant(
        HUB,
        audit_cycles.NAME,
        "UPDATE cycle SET reserve = 1",
        "cycle",
        "SELECT '1'",
        "SELECT 'sum ' || reserve FROM cycle",
    ),
    Plant(
        HUB,
        audit_cycles.NAME,
        "UPDATE statement SET line = convert_to(replace(convert_from(line, 'UTF8'),"
        " '\"opening\":0', '\"opening\":1'), 'UTF8') WHERE group_name = 'oostende'",
        "statement",
        "SELECT '1, oostende'",
        "SELECT 'opening ' || (convert_from(line, 'UTF8')::json ->> 'opening')"
        " FROM statement WHERE group_name = 'oostende'",
    ),
    Plant(
        HUB,
        audit_cycles.NAME,
        "UPDATE statement SET line = ''",
        "statement",
        "SELECT '1, mechelen'",
    ),
    Plant(
        HUB,
        audit_cycles.NAME,
        "DELETE FROM statement WHERE group_name = 'oostende'",
        "cycle",
        "SELECT '1'",
    ),
    Plant(
        HUB,
        "shares_are_booked",
        "UPDATE posting SET amount = amount - 1 WHERE account_id = 'oostende' AND"
        " sequence = (SELECT sequence FROM entry WHERE kind = 'shared')",
        "posting",
        "SELECT shared_id || ', oostende' FROM shared",
    ),
    Plant(
        HUB,
        "shares_are_booked",
        "UPDATE entry SET kind = 'local' WHERE kind = 'shared'",
        "posting",
        "SELECT shared_id || ', mechelen' FROM shared",
    ),
    Plant(
        HUB,
        "shares_were_decided",
        "UPDATE shared SET decided_at = decided_at + interval '1 ms'",
        "shared",
        "SELECT shared_id::text FROM shared",
    ),
    Plant(
        HUB,
        "shares_were_decided",
        "DELETE FROM shared",
        "decision",
        "SELECT log || ', ' || number FROM shared",
    ),
    Plant(
        HUB,
        "shares_were_told",
        "UPDATE shared SET line = convert_to(replace(convert_from(line, 'UTF8'),"
        " '\"measure\":1', '\"measure\":2'), 'UTF8')",
        "shared",
        "SELECT shared_id || ', oostende' FROM shared",
    ),
    Plant(
        OOSTENDE,
        "shares_are_booked",
        "UPDATE shared SET amount = amount - 1",
        "posting",
        "SELECT shared_id || ', shared' FROM shared",
    ),
    Plant(
        OOSTENDE,
        "shares_came_from_the_hub",
        "UPDATE shared SET amount = amount - 1",
        "shared",
        "SELECT shared_id::text FROM shared",
    ),
    Plant(
        OOSTENDE,
        "shares_came_from_the_hub",
        "UPDATE shared SET number = number + 1",
        "shared",
        "SELECT shared_id::text FROM shared",
    ),
    Plant(
        OOSTENDE,
        "shares_came_from_the_hub",
        "UPDATE shared SET item = item + 1",
        "shared",
        "SELECT shared_id::text FROM shared",
    ),
    Plant(
        OOSTENDE,
        "settled_legs_are_booked",
        "UPDATE leg SET milliseconds = milliseconds + 1",
        "posting",
        "SELECT leg_id || ', clearing' FROM leg",
    ),
    Plant(
        OOSTENDE,
        "cycles_came_from_the_hub",
        "UPDATE cycle SET line = ' '",
        "cycle",
        "SELECT '1'",
    ),
    Plant(
        OOSTENDE,
        "cycles_came_from_the_hub",
        "UPDATE cycle SET number = number + 1",
        "cycle",
        "SELECT '1'",
    ),
    Plant(
        OOSTENDE,
        "cycles_came_from_the_hub",
        "UPDATE leg SET creditor = 'gent'",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    Plant(
        OOSTENDE,
        "cycles_came_from_the_hub",
        "UPDATE leg SET line = line || ' '::bytea",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    Plant(
        OOSTENDE,
        "cycles_came_from_the_hub",
        "UPDATE leg SET item = item + 1",
        "leg",
        "SELECT leg_id::text FROM leg",
    ),
    Plant(
        HUB,
        audit_limits.NAME,
        "UPDATE limit_change SET group_name = 'gent' WHERE number = 1",
        "limit_change",
        "SELECT '1'",
        "SELECT 'group_name ' || group_name FROM limit_change WHERE number = 1",
    ),
    Plant(
        HUB,
        audit_limits.NAME,
        "UPDATE limit_change SET signed = signed || 'A' WHERE number = 2",
        "limit_change",
        "SELECT '2'",
    ),
    Plant(
        HUB,
        audit_limits.NAME,
        "UPDATE limit_change SET signed ="
        " (SELECT signed FROM limit_change WHERE number = 1) WHERE number = 2",
        "limit_change",
        "SELECT '2'",
    ),
    Plant(
        HUB,
        audit_limits.NAME,
        "DELETE FROM limit_change WHERE number = 2",
        "limit_change",
        "SELECT '3'",
    ),
    Plant(
        HUB,
        audit_limits.NAME,
        "UPDATE decision SET line = ' ' WHERE position('\"floor\":-36000000'::bytea"
        " IN line) > 0",
        "limit_change",
        "SELECT '1'",
    ),
    Plant(
        HUB,
        audit_limits.CAPS_NAME,
        f"UPDATE transfer SET milliseconds = 3 * 10::bigint ^ 12 WHERE {BEHIND_CAP}",
        "transfer",
        f"SELECT transfer_id::text FROM transfer WHERE {BEHIND_CAP}",
    ),
]

CYCLES = ("cycle", "statement", "settlement", "word", "shared")
CHECKPOINTS = ("checkpoint", "tile_hash", "witness", "limit_change")
NODES = (
    *("member_limit", "doubt", "trust"),
    *("accepted_keys", "act", "proof", "proven_checkpoint", "shared"),
)
TABLES = ("posting", "entry", "account", "envelope", "item", "directory_change")


async def spoil(url: str, plant: Plant) -> tuple[str, Any, Any]:
    """Change a database by hand; gives the key, and the value before and after."""
    connection = await asyncpg.connect(url)
    try:
        key = await connection.fetchval(plant.key)
        value = plant.value or "SELECT NULL"
        before = await connection.fetchval(value)
        house = ("decision", *CHECKPOINTS, *CYCLES) if plant.where == HUB else NODES
        for table in TABLES + house:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(plant.sql)
        return key, before, await connection.fetchval(value)
    finally:
        await connection.close()


@pytest.mark.parametrize("name", [HUB, OOSTENDE, MECHELEN])
async def test_a_sound_ledger_has_no_findings(kept: Past, name: str) -> None:
    answer = await audited(name, kept.urls[name])
    assert (answer.findings, answer.findings_in_all) == ([], 0)
    assert answer.is_sound
    assert set(answer.sums.values()) == {0}
    assert all(check.findings == 0 for check in answer.checks)


@pytest.mark.parametrize(
    "plant",
    PLANTS,
    ids=[f"{number} {plant.check}" for number, plant in enumerate(PLANTS)],
)
async def test_a_row_altered_by_hand_is_named(kept: Past, plant: Plant) -> None:
    async with kept.copy(plant.where) as url:
        key, before, after = await spoil(url, plant)
        answer = await audited(plant.where, url)
    assert not answer.is_sound
    named = {(one.table, one.key): one for one in answer.findings}
    found = [one for one in answer.findings if one.check == plant.check]
    assert (plant.table, key) in {(one.table, one.key) for one in found}, named
    for one in found:
        assert one.found != one.expected
    if before is not None:
        pairs = {(one.found, one.expected) for one in found if one.key == key}
        assert (after, before) in pairs
    counted = {check.name: check.findings for check in answer.checks}
    assert counted[plant.check] == len(found)


async def test_keys_that_were_the_groups_are_accepted_with_their_act(
    kept: Past,
) -> None:
    entry = entry_of(OOSTENDE)
    digits = check_digits(FederationId(FEDERATION), entry).replace(" ", "")
    keys = f"'oostende', '{keys_hash(entry)}', '{digits}'"
    accept = (
        "INSERT INTO accepted_keys (at, group_name, keys, digits, author, reason)"
        f" VALUES ('2026-03-09Z', {keys}, 'ann', 'we called')"
    )
    note = (
        "INSERT INTO act (at, author, deed, about, details, reason) VALUES"
        " ('2026-03-09Z', 'ann', 'keys-accepted', 'oostende', '{}', 'we called')"
    )
    for sql, findings in ((f"{accept}; {note}", 0), (accept, 1), (note, 1)):
        async with kept.copy(MECHELEN) as url:
            await spoil(url, Plant(MECHELEN, "", sql, "", "SELECT 1"))
            answer = await audited(MECHELEN, url)
        assert answer.findings_in_all == findings, answer.findings


async def test_what_was_answered_before_there_were_checkpoints_has_no_number(
    kept: Past,
) -> None:
    # A hub of the first version, moved along by its migrations.
    async with kept.copy(HUB) as url:
        old = "DELETE FROM checkpoint; UPDATE transfer SET answer_number = NULL"
        await spoil(url, Plant(HUB, "", old, "", "SELECT 1"))
        answer = await audited(HUB, url)
    found = {check.name: check.findings for check in answer.checks}
    assert found["transfers_number_their_items"] == 0
    assert found["logs_are_stated_to_their_ends"] > 0


def test_every_check_finds_something_planted() -> None:
    rates = [EntryRate(1, 60_000)]
    names = {
        check.name for check in (*CHECKS, *hub_store.checks({}), *audit_cycles.CHECKS)
    }
    names |= {check.name for check in audit_shares.CHECKS}
    names |= {check.name for check in node_store.checks(rates, OOSTENDE)}
    names |= {
        audit_streams.NAME,
        DIRECTORY_NAME,
        hub_store.DECISIONS_NAME,
        audit_cycles.NAME,
        audit_log.NAME,
        audit_transfers.NAME,
        audit_keys.NAME,
        audit_proofs.NAME,
        audit_trust.NAME,
        audit_witnesses.NAME,
        audit_limits.NAME,
        audit_limits.CAPS_NAME,
    }
    assert names == {plant.check for plant in PLANTS}


async def test_findings_are_told_up_to_a_hundred_and_counted_in_all(
    kept: Past,
) -> None:
    async with kept.copy(MECHELEN) as url:
        everywhere = Plant(
            MECHELEN,
            "histories_run",
            "UPDATE posting SET balance_after = balance_after + sequence * 10",
            "posting",
            "SELECT count(*) FROM posting",
        )
        postings, _, _ = await spoil(url, everywhere)
        answer = await audited(MECHELEN, url)
    assert postings > FINDINGS_MAX
    assert len(answer.findings) == FINDINGS_MAX
    assert answer.findings_in_all == postings


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE posting SET amount = 9223372036854775807",
        "UPDATE posting SET amount = -9223372036854775808, balance_after = amount",
        "UPDATE account SET balance = -9223372036854775808, held_in = 2^63 - 1025",
        "UPDATE transfer SET amount = -9223372036854775808, log = 'another'",
        "UPDATE transfer SET milliseconds = 9223372036854775807",
        "UPDATE transfer SET milliseconds = 1, refunded = 1, payer_rate = 2^62",
        "UPDATE entry SET sequence = 9223372036854775807 WHERE sequence = 1",
        "UPDATE envelope SET count = 2147483647",
        f"UPDATE envelope SET first = 9223372036854775807 WHERE {MIDDLE}",
        "UPDATE link SET acknowledged = 2^63 - 1025, sent = 9223372036854775807",
        "UPDATE item SET line = '\\x00ff'",
        "UPDATE envelope SET line_1 = 'é'",
        "UPDATE directory_change SET line = '\\x00ff'",
    ],
)
@pytest.mark.parametrize("name", [HUB, OOSTENDE])
async def test_nothing_in_a_row_makes_an_audit_break_off(
    kept: Past, name: str, sql: str
) -> None:
    async with kept.copy(name) as url:
        await spoil(url, Plant(name, "", sql, "", "SELECT 1"))
        answer = await audited(name, url)
    assert not answer.is_sound
    assert msgspec.json.encode(answer)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE checkpoint SET size = 9223372036854775807 WHERE " + CHECKPOINT,
        "UPDATE decision SET number = 9223372036854775807 WHERE sequence = 2",
        "UPDATE decision SET sequence = 9223372036854775807 WHERE sequence = 2",
        f"UPDATE decision SET sequence = -sequence - 1 WHERE {DECIDED}",
        *(
            f"INSERT INTO tile_hash VALUES ((SELECT min(log) FROM decision), {level},"
            f" {index}, '')"
            for level, index in [(1, 2**60), (2**31 - 1, 2**63 - 1), (-5, -(2**63))]
        ),
    ],
)
async def test_nothing_in_the_log_makes_the_hubs_audit_break_off(
    kept: Past, sql: str
) -> None:
    async with kept.copy(HUB) as url:
        await spoil(url, Plant(HUB, "", sql, "", "SELECT 1"))
        answer = await audited(HUB, url)
    assert not answer.is_sound
    assert msgspec.json.encode(answer)


async def test_a_walk_that_cannot_go_on_is_a_finding(kept: Past) -> None:
    async def walk(connection: AnyConnection) -> Any:
        yield 0.5, []
        await connection.fetch("SELECT 9223372036854775807 + 1::bigint")

    async def make_plan(connection: AnyConnection) -> Plan:
        plan = await plan_of(HUB)(connection)
        return dataclasses.replace(plan, walks=[Walk("w", "Told.", walk), *plan.walks])

    database = await Database.open(DatabaseSettings(url=kept.urls[HUB]))
    try:
        answer = await audit(database, make_plan, Clock())
    finally:
        await database.close()
    [found] = answer.findings
    assert (found.check, found.table) == ("w", "database")
    assert "out of range" in found.found
    # What comes after it was still looked at.
    assert answer.checks[-1].name == audit_limits.CAPS_NAME


async def test_the_audit_of_a_long_log_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LongLog:
        def __init__(self, _connection: AnyConnection) -> None:
            rows = [LogRow("AAAAAAAAAAA", n, bytes(32), b"{}") for n in range(10_000)]
            self.pages = [LogPage(1.0, rows, {})]

        async def read(self) -> LogPage | None:
            return self.pages.pop() if self.pages else None

    monkeypatch.setattr(hub_store, "LogPages", LongLog)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    walk = audit_log.LogWalk(FEDERATION, bytes(32)).walk
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(others())
        steps = [step async for step in walk(None)]  # type: ignore[arg-type]
        waiting.cancel()
    assert len(steps) == 1
    assert turns >= 9


async def test_what_is_found_is_shown_only_so_long(kept: Past) -> None:
    async with kept.copy(HUB) as url:
        long = Plant(
            HUB,
            hub_store.DECISIONS_NAME,
            f"UPDATE decision SET line = repeat('x', 100000)::bytea WHERE {DECIDED}",
            "decision",
            DECISION_KEY,
        )
        await spoil(url, long)
        answer = await audited(HUB, url)
    assert all(len(one.found) <= 203 for one in answer.findings)
    assert any(one.found.endswith("...") for one in answer.findings)


@pytest.mark.parametrize("seed", range(3))
async def test_ledgers_of_random_payments_are_sound(
    new_database: NewDatabase, seed: int
) -> None:
    async with federation(new_database) as federated:
        await take(federated, OOSTENDE, LIES)
        await live(federated, seed, 40)
        for name, server in servers(federated).items():
            answer = await audited(name, server.url)
            assert answer.findings == []
            assert all(worth.milliseconds >= 0 for worth in answer.worths)


@pytest.mark.parametrize("ketjes", range(1, 5))
async def test_a_conversion_is_worth_what_rounding_left(
    new_database: NewDatabase, ketjes: int
) -> None:
    # A blusser is 180,000 ms and a ketje 60,000: Marie pays whole blussers.
    async with federation(new_database) as federated:
        amount = Amount(ketjes)
        await take(federated, OOSTENDE, payment(OOSTENDE, "a", payee_amount=amount))
        await federated.quiet()
        paid = await audited(OOSTENDE, federated.nodes[OOSTENDE].url)
        got = await audited(MECHELEN, federated.nodes[MECHELEN].url)
    worth = -(-ketjes // 3) * 180_000 - ketjes * 60_000
    assert [one.milliseconds for one in paid.worths] == [worth]
    assert [one.milliseconds for one in got.worths] == [0]


async def test_an_audit_while_payments_run_raises_no_false_alarm(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await take(federated, OOSTENDE, LIES)
        is_over = False

        async def pay() -> None:
            seed = 0
            while not is_over:
                seed += 1
                await live(federated, seed, 10)

        async def look() -> list[AuditAnswer]:
            nonlocal is_over
            answers = []
            for _ in range(5):
                for name, server in servers(federated).items():
                    answers.append(await audited(name, server.url))
            is_over = True
            return answers

        before = await written(federated)
        async with asyncio.TaskGroup() as group:
            group.create_task(pay())
            looking = group.create_task(look())
        # Else nothing was booked meanwhile, and this has tried nothing.
        assert await written(federated) > before + 20
    assert [answer.findings for answer in looking.result()] == [[]] * 15


async def written(federated: Federation) -> int:
    """Count the entries of all ledgers."""
    counts = [
        await server.ask("SELECT count(*) AS many FROM entry")
        for server in servers(federated).values()
    ]
    return sum(rows[0]["many"] for rows in counts)


async def test_an_audit_can_change_nothing(kept: Past) -> None:
    database = await Database.open(DatabaseSettings(url=kept.urls[HUB]))
    try:
        async with database.snapshot() as connection:
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await connection.execute("UPDATE account SET balance = 1")
    finally:
        await database.close()


async def test_an_audit_sees_one_moment(kept: Past) -> None:
    async with kept.copy(OOSTENDE) as url:
        database = await Database.open(DatabaseSettings(url=url))
        try:
            async with database.snapshot() as connection:
                before = await connection.fetchval("SELECT count(*) FROM account")
                async with database.desk.acquire() as desk:
                    await desk.execute(
                        "INSERT INTO account VALUES"
                        " ('late', 'member', 'unit', 0, 0, 0, NULL, NULL, false, false)"
                    )
                after = await connection.fetchval("SELECT count(*) FROM account")
        finally:
            await database.close()
    assert before == after


async def test_progress_rises_to_its_end(kept: Past) -> None:
    told: list[float] = []
    database = await Database.open(DatabaseSettings(url=kept.urls[HUB]))
    try:
        plan = plan_of(HUB)
        await audit(database, plan, Clock(), lambda done, _: told.append(done))
    finally:
        await database.close()
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


# The server's own auditor.


class Still(Clock):
    """A clock that a test moves."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = read_instant(at)

    def now(self) -> Instant:
        return self.at


@asynccontextmanager
async def auditor_of(url: str, clock: Clock) -> AsyncIterator[tuple[Auditor, Metrics]]:
    metrics = Metrics()
    database = await Database.open(DatabaseSettings(url=url))
    try:
        yield Auditor(database, plan_of(OOSTENDE), clock, metrics), metrics
    finally:
        await database.close()


async def alarms(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT told FROM alarm WHERE about = 'audit'")
        return [row["told"] for row in rows]
    finally:
        await connection.close()


def shown(metrics: Metrics, name: str) -> float:
    for line in metrics.render().decode().splitlines():
        if line.startswith(f"interlets_{name} "):
            return float(line.partition(" ")[2])
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("now", "hour", "due"),
    [
        ("2026-11-23T03:00:00.000Z", 3, "2026-11-23T03:00:00.000Z"),
        ("2026-11-23T02:59:59.999Z", 3, "2026-11-22T03:00:00.000Z"),
        ("2026-11-23T23:59:59.999Z", 0, "2026-11-23T00:00:00.000Z"),
        ("2026-11-23T00:00:00.000Z", 23, "2026-11-22T23:00:00.000Z"),
    ],
)
def test_an_audit_is_due_once_a_day(now: str, hour: int, due: str) -> None:
    assert newest_due(read_instant(now), hour) == read_instant(due)


async def test_the_nightly_audit_calls_people_about_what_it_finds(
    kept: Past, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept.copy(OOSTENDE) as url:
        await spoil(url, PLANTS[0])
        clock = Still("2026-11-23T02:59:00.000Z")
        async with auditor_of(url, clock) as (auditor, metrics):
            await auditor.run_when_due(3)
            assert await alarms(url) == []
            clock.at = read_instant("2026-11-23T03:00:30.000Z")
            await auditor.run_when_due(3)
            await auditor.run_when_due(3)
            [told] = await alarms(url)
            assert "account marie" in told
            assert f"for people: {told}" in caplog.text
            assert shown(metrics, "audit_findings") > 0
            assert shown(metrics, "audit_timestamp_seconds") == clock.at / 1000
            clock.at = read_instant("2026-11-24T03:00:30.000Z")
            await auditor.run_when_due(3)
            assert len(await alarms(url)) == 2


async def test_a_night_whose_audit_breaks_off_calls_people_once(
    kept: Past, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_connection: AnyConnection) -> Plan:
        raise ValueError("Marie's memo")

    async with kept.copy(OOSTENDE) as url:
        clock, metrics = Still("2026-11-23T02:59:00.000Z"), Metrics()
        database = await Database.open(DatabaseSettings(url=url))
        try:
            auditor = Auditor(database, broken, clock, metrics)
            await auditor.run_when_due(3)
            clock.at = read_instant("2026-11-23T03:00:30.000Z")
            await auditor.run_when_due(3)
            await auditor.run_when_due(3)
            await Auditor(database, broken, clock, metrics).run_when_due(3)
        finally:
            await database.close()
        [told] = await alarms(url)
    assert "broke off with ValueError in broken" in told
    assert "memo" not in told + caplog.text
    assert shown(metrics, "audit_findings") == 1


async def test_a_sound_night_calls_nobody(kept: Past) -> None:
    async with kept.copy(OOSTENDE) as url:
        clock = Still("2026-11-23T02:59:00.000Z")
        async with auditor_of(url, clock) as (auditor, metrics):
            await auditor.run_when_due(3)
            clock.at = read_instant("2026-11-23T03:00:00.000Z")
            await auditor.run_when_due(3)
            assert shown(metrics, "audit_findings") == 0
            assert shown(metrics, "audit_timestamp_seconds") == clock.at / 1000
        assert await alarms(url) == []


async def test_a_night_that_was_slept_through_is_made_up_for(kept: Past) -> None:
    async with kept.copy(OOSTENDE) as url:
        clock = Still("2026-11-23T12:00:00.000Z")
        async with auditor_of(url, clock) as (auditor, _):
            await auditor.run_when_due(3)
        await spoil(url, PLANTS[0])
        # The server was off from noon to the noon after.
        clock.at = read_instant("2026-11-24T12:00:00.000Z")
        async with auditor_of(url, clock) as (auditor, metrics):
            await auditor.run_when_due(3)
            assert len(await alarms(url)) == 1
        async with auditor_of(url, clock) as (auditor, metrics):
            await auditor.run_when_due(3)
            assert len(await alarms(url)) == 1
            # Still shown after a start, though nothing was looked at since.
            assert shown(metrics, "audit_findings") > 0


async def test_one_audit_at_a_time(kept: Past) -> None:
    async with auditor_of(kept.urls[OOSTENDE], Clock()) as (auditor, _):
        first, second = await asyncio.gather(
            auditor.run(), auditor.run(), return_exceptions=True
        )
        assert isinstance(first, AuditAnswer)
        assert isinstance(second, AuditRunsError)
        assert (await auditor.run()).is_sound


async def test_who_asks_while_an_audit_runs_is_told_to_wait(
    kept: Past, aiohttp_client: Callable[[web.Application], Awaitable[TestClient]]
) -> None:
    begun, may_go_on = asyncio.Event(), asyncio.Event()
    plan = plan_of(OOSTENDE)

    async def slow(connection: AnyConnection) -> Plan:
        begun.set()
        await may_go_on.wait()
        return await plan(connection)

    metrics = Metrics()
    application = web.Application(middlewares=[problems.middleware(metrics)])
    database = await Database.open(DatabaseSettings(url=kept.urls[OOSTENDE]))
    try:
        auditor = Auditor(database, slow, Clock(), metrics)
        [route] = AuditApi(auditor, "treasurer").routes()
        assert route.scope == "treasurer"
        application.router.add_get(route.path, route.handler)
        client = await aiohttp_client(application)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(client.get(route.path))
            await begun.wait()
            second = await client.get(route.path)
            may_go_on.set()
        assert (second.status, second.headers["Retry-After"]) == (429, "10")
        assert (await second.json())["type"].endswith(":audit-runs")
        answer = await first.result().json()
        assert first.result().status == 200
        assert msgspec.convert(answer, AuditAnswer).is_sound
    finally:
        await database.close()


def servers(federated: Federation) -> dict[str, Server]:
    return {HUB: federated.hub, **federated.nodes}
