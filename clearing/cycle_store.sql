-- read_tallied --
-- The newest entry that the tallies know of.
SELECT sequence FROM tallied;

-- read_tallies --
-- How positions went up to there.
SELECT group_name, opening, debits, credits, count, digest, area::text AS area, since
  FROM tally;

-- read_moves_after --
-- What moved positions in a run of entries, with the decision of each.
SELECT posting.account_id, entry.entry_id, posting.amount, entry.at,
       coalesce(transfer.log, leg.log, shared.log) AS log,
       coalesce(transfer.number, leg.number, shared.number) AS number
  FROM entry JOIN posting USING (sequence)
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
  LEFT JOIN leg ON leg.leg_id = entry.entry_id
  LEFT JOIN shared ON shared.shared_id = entry.entry_id
 WHERE entry.sequence > $1 AND entry.sequence <= $2
 ORDER BY entry.sequence, posting.account_id;

-- read_timed_moves --
-- When positions moved in the cycle that followed a decision, up to an entry.
SELECT posting.account_id, posting.amount, entry.at
  FROM entry JOIN posting USING (sequence)
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
  LEFT JOIN leg ON leg.leg_id = entry.entry_id
  LEFT JOIN shared ON shared.shared_id = entry.entry_id
  JOIN decision ON decision.log = coalesce(transfer.log, leg.log, shared.log)
               AND decision.number = coalesce(transfer.number, leg.number, shared.number)
 WHERE entry.sequence <= $3
   AND decision.sequence > (SELECT sequence FROM decision
                             WHERE log = $1 AND number = $2)
 ORDER BY entry.sequence;

-- write_tallies --
-- Keep how positions have gone.
INSERT INTO tally (group_name, opening, debits, credits, count, digest, area, since)
SELECT group_name, opening, debits, credits, count, digest, area::numeric, since
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
              $6::text[], $7::text[], $8::timestamptz[])
    AS new (group_name, opening, debits, credits, count, digest, area, since)
    ON CONFLICT (group_name) DO UPDATE
   SET opening = excluded.opening, debits = excluded.debits,
       credits = excluded.credits, count = excluded.count, digest = excluded.digest,
       area = excluded.area, since = excluded.since;

-- write_tallied --
-- Remember the newest entry that the tallies know of.
INSERT INTO tallied (sequence) VALUES ($1)
    ON CONFLICT (single) DO UPDATE SET sequence = excluded.sequence;

-- read_beginning --
-- The first decision that this hub ever made.
SELECT line FROM decision ORDER BY sequence LIMIT 1;

-- insert_cycle --
-- Keep that a cycle has ended.
INSERT INTO cycle (cycle, log, number, former_log, former_number, at, groups, statements,
                   reserve)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- read_newest_cycle --
-- The newest cycle that has ended.
SELECT cycle, log, number, former_log, former_number, at, groups, statements, reserve
  FROM cycle ORDER BY cycle DESC LIMIT 1;

-- read_cycles --
-- Cycles that have ended, newest first.
SELECT cycle, log, number, former_log, former_number, at, groups, statements, reserve
  FROM cycle WHERE cycle < $1 ORDER BY cycle DESC LIMIT $2;

-- read_cycle --
-- One cycle that has ended.
SELECT cycle, log, number, former_log, former_number, at, groups, statements, reserve
  FROM cycle WHERE cycle = $1;

-- count_answers --
-- How many groups agreed, disputed, or have said nothing, by cycle.
SELECT cycle, state, count(*) AS count
  FROM statement WHERE cycle = ANY($1::bigint[])
 GROUP BY cycle, state;

-- count_legs --
-- How many legs are open, settled or void, by cycle.
SELECT cycle, state, count(*) AS count
  FROM leg WHERE cycle = ANY($1::bigint[])
 GROUP BY cycle, state;

-- write_statements --
-- Keep statements as they now stand.
INSERT INTO statement (cycle, group_name, line, state, answered_at, answer, dispute,
                       unanswered, difference)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[],
                     $5::timestamptz[], $6::bigint[], $7::bytea[], $8::bytea[], $9::text[])
    ON CONFLICT (cycle, group_name) DO UPDATE
   SET state = excluded.state, answered_at = excluded.answered_at,
       answer = excluded.answer, dispute = excluded.dispute,
       unanswered = excluded.unanswered, difference = excluded.difference;

-- read_named --
-- Statements by cycle and group.
SELECT statement.cycle, statement.group_name, line, state, answered_at, answer, dispute,
       unanswered, difference
  FROM statement
  JOIN unnest($1::bigint[], $2::text[]) AS named (cycle, group_name)
    ON (statement.cycle, statement.group_name) = (named.cycle, named.group_name);

-- read_statements --
-- A cycle's statements, by group.
SELECT cycle, group_name, line, state, answered_at, answer, dispute, unanswered,
       difference
  FROM statement WHERE cycle = $1 AND group_name > $2
 ORDER BY group_name LIMIT $3;

-- read_statements_of_state --
-- A cycle's statements to which groups have said the same, by group.
SELECT cycle, group_name, line, state, answered_at, answer, dispute, unanswered,
       difference
  FROM statement WHERE cycle = $1 AND state = $2
 ORDER BY group_name LIMIT $3;

-- read_unanswered --
-- Statements about which a group waits for a list: the oldest of each group, those
-- behind a name first.
SELECT cycle, group_name, line, state, answered_at, answer, dispute, unanswered,
       difference
  FROM (SELECT DISTINCT ON (group_name) cycle, group_name, line, state, answered_at,
               answer, dispute, unanswered, difference
          FROM statement WHERE unanswered IS NOT NULL
         ORDER BY group_name, cycle) AS waiting
 ORDER BY group_name <= $1, group_name LIMIT $2;

-- read_moves --
-- What moved a group's position after one decision (or from the first) up to another.
SELECT decision.log, decision.number, entry.entry_id, posting.amount
  FROM posting JOIN entry USING (sequence)
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
  LEFT JOIN leg ON leg.leg_id = entry.entry_id
  LEFT JOIN shared ON shared.shared_id = entry.entry_id
  JOIN decision ON decision.log = coalesce(transfer.log, leg.log, shared.log)
               AND decision.number = coalesce(transfer.number, leg.number, shared.number)
 WHERE posting.account_id = $1
   AND decision.sequence > coalesce(
           (SELECT sequence FROM decision WHERE log = $2 AND number = $3), 0)
   AND decision.sequence <= (SELECT sequence FROM decision
                              WHERE log = $4 AND number = $5)
 ORDER BY decision.sequence;

-- read_all_statements --
-- All statements of a cycle, by group.
SELECT cycle, group_name, line, state, answered_at, answer, dispute, unanswered,
       difference
  FROM statement WHERE cycle = $1
 ORDER BY group_name;

-- write_legs --
-- Keep legs as they now stand.
INSERT INTO leg (leg_id, cycle, place, at, debtor, creditor, milliseconds, paid, paid_at,
                 received, received_at, state, log, number, ended_at, code)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[],
                     $5::text[], $6::text[], $7::bigint[], $8::text[],
                     $9::timestamptz[], $10::text[], $11::timestamptz[], $12::text[],
                     $13::text[], $14::bigint[], $15::timestamptz[], $16::text[])
    ON CONFLICT (leg_id) DO UPDATE
   SET paid = excluded.paid, paid_at = excluded.paid_at, received = excluded.received,
       received_at = excluded.received_at, state = excluded.state, log = excluded.log,
       number = excluded.number, ended_at = excluded.ended_at, code = excluded.code;

-- insert_settlement --
-- Keep that a plan was made, and for whom it was not.
INSERT INTO settlement (cycle, place, legs, at, excepted) VALUES ($1, $2, $3, $4, $5);

-- read_settlements --
-- The plans that were made for a cycle, in that order.
SELECT cycle, place, legs, at, excepted
  FROM settlement WHERE cycle = $1 ORDER BY place;

-- insert_words --
-- Keep in which items words on legs came.
INSERT INTO word (leg_id, said, party, item)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[]);

-- read_words --
-- The words on legs, as the items that say them.
SELECT leg_id, said, party, word.item, item.line
  FROM word
  JOIN item ON item.peer = party AND direction = 'in' AND number = word.item
 WHERE leg_id = ANY($1::uuid[]);

-- read_called --
-- Those of some legs of which people were called because they are late.
SELECT leg_id FROM late_leg WHERE leg_id = ANY($1::uuid[]);

-- insert_late --
-- Remember that people were called.
INSERT INTO late_leg (leg_id, called_at) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- read_open_legs --
-- Legs that have not ended.
SELECT leg_id, cycle, place, at, debtor, creditor, milliseconds, paid, paid_at, received,
       received_at, state, log, number, ended_at, code
  FROM leg WHERE state = 'open' ORDER BY cycle, place;

-- read_legs --
-- A cycle's legs, in the order in which they were made.
SELECT leg_id, cycle, place, at, debtor, creditor, milliseconds, paid, paid_at, received,
       received_at, state, log, number, ended_at, code
  FROM leg WHERE cycle = $1 ORDER BY place;

-- read_settled_since --
-- Legs of whatever cycle that were settled behind a decision, in that order.
SELECT leg_id, cycle, place, leg.at, debtor, creditor, milliseconds, paid, paid_at,
       received, received_at, state, log, number, ended_at, code
  FROM leg JOIN decision USING (log, number)
 WHERE state = 'settled'
   AND decision.sequence > (SELECT sequence FROM decision
                             WHERE log = $1 AND number = $2)
 ORDER BY decision.sequence;

-- read_settled_for --
-- Legs that count for a cycle's positions, in the order of their decisions: its own, and
-- those of former cycles that were settled between its end and that of the next.
SELECT leg_id, leg.cycle, place, leg.at, debtor, creditor, milliseconds, paid, paid_at,
       received, received_at, state, log, number, ended_at, code
  FROM leg JOIN decision USING (log, number)
 WHERE state = 'settled'
   AND (leg.cycle = $1
        OR leg.cycle < $1
           AND decision.sequence > (SELECT decision.sequence
                                      FROM cycle JOIN decision USING (log, number)
                                     WHERE cycle = $1)
           AND decision.sequence < coalesce(
                   (SELECT decision.sequence
                      FROM cycle JOIN decision USING (log, number)
                     WHERE cycle = $1 + 1), 9223372036854775807))
 ORDER BY decision.sequence;

-- read_leg --
-- One leg.
SELECT leg_id, cycle, place, at, debtor, creditor, milliseconds, paid, paid_at, received,
       received_at, state, log, number, ended_at, code
  FROM leg WHERE leg_id = $1;

-- read_flows --
-- What groups paid each other in transfers that one decision (or the first) began and
-- another ended: each pair's sum, which may pass 64 bits, and how many there were.
SELECT payer_group, payee_group, sum(milliseconds)::text AS milliseconds,
       count(*) AS transfers
  FROM transfer JOIN decision USING (log, number)
 WHERE transfer.state = 'cleared'
   AND decision.sequence > coalesce(
           (SELECT sequence FROM decision WHERE log = $1 AND number = $2), 0)
   AND decision.sequence <= (SELECT sequence FROM decision
                              WHERE log = $3 AND number = $4)
 GROUP BY payer_group, payee_group
 ORDER BY payer_group, payee_group;
