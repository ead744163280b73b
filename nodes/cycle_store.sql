-- insert_log --
-- Remember a log of the hub's, behind those that we know.
INSERT INTO hub_log (log) VALUES ($1) ON CONFLICT (log) DO NOTHING;

-- write_cycle --
-- Keep a cycle as it now stands; with it, which entries were there when it ended: all
-- but the newest few that the same batch booked behind it.
INSERT INTO cycle (cycle, log, number, former_log, former_number, at, sequence, line,
                   state, answered_at, dispute, unanswered, difference)
VALUES ($1, $2, $3, $4, $5, $6,
        (SELECT coalesce(max(sequence), 0) FROM entry) - $13, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (cycle) DO UPDATE
   SET line = excluded.line, state = excluded.state, answered_at = excluded.answered_at,
       dispute = excluded.dispute, unanswered = excluded.unanswered,
       difference = excluded.difference;

-- read_cycles_named --
-- Cycles by number.
SELECT cycle, log, number, former_log, former_number, at, line, state, answered_at,
       dispute, unanswered, difference
  FROM cycle WHERE cycle = ANY($1::bigint[]);

-- read_cycles --
-- Cycles, newest first.
SELECT cycle, log, number, former_log, former_number, at, line, state, answered_at,
       dispute, unanswered, difference
  FROM cycle WHERE cycle < $1
 ORDER BY cycle DESC LIMIT $2;

-- read_waiting --
-- Cycles about which the hub waits for a word of ours.
SELECT cycle, log, number, former_log, former_number, at, line, state, answered_at,
       dispute, unanswered, difference
  FROM cycle WHERE state = 'waiting' OR unanswered IS NOT NULL
 ORDER BY cycle LIMIT $1;

-- read_disputed --
-- Cycles on which we and the hub differ, newest first.
SELECT cycle, log, number, former_log, former_number, at, line, state, answered_at,
       dispute, unanswered, difference
  FROM cycle WHERE state = 'disputed'
 ORDER BY cycle DESC LIMIT $1;

-- read_told --
-- What our ledger tells of entries: when they were booked, who paid whom, and why.
SELECT entry.entry_id, entry.at, entry.kind, entry.reason, content.line,
       transfer.payer_group, transfer.payee_group, leg.debtor, leg.creditor
  FROM entry
  LEFT JOIN content ON content.content_id = entry.content_id
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
  LEFT JOIN leg ON leg.leg_id = entry.entry_id
 WHERE entry.entry_id = ANY($1::uuid[]);

-- read_span --
-- Which entries were there when a cycle before ended, and when this one did; and whether
-- we know the log in which this one began, or have moves of it.
SELECT coalesce((SELECT sequence FROM cycle WHERE cycle < $1
                  ORDER BY cycle DESC LIMIT 1), 0) AS first,
       sequence AS last,
       EXISTS (SELECT FROM hub_log WHERE log = own.former_log)
       OR EXISTS (SELECT FROM transfer WHERE log = own.former_log)
       OR EXISTS (SELECT FROM leg WHERE log = own.former_log)
       OR EXISTS (SELECT FROM shared WHERE log = own.former_log)
       OR EXISTS (SELECT FROM cycle AS before WHERE before.log = own.former_log)
           AS knows_former
  FROM cycle AS own WHERE cycle = $1;

-- read_balance --
-- The clearing balance after an entry.
SELECT balance_after FROM posting
 WHERE account_id = 'clearing' AND sequence <= $1
 ORDER BY sequence DESC LIMIT 1;

-- read_moves --
-- What was posted on the clearing account behind an entry and was decided up to a
-- decision, with where it was decided: before the cycle or in it. Of what no decision
-- explains, only up to another entry.
SELECT named.log, named.number, entry.entry_id, -posting.amount AS amount,
       coalesce((coalesce(hub_log.place, 0), named.number)
             <= (coalesce((SELECT place FROM hub_log WHERE log = $3), 0), $4::bigint),
             false) AS is_former
  FROM posting JOIN entry USING (sequence)
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
  LEFT JOIN leg ON leg.leg_id = entry.entry_id
  LEFT JOIN shared ON shared.shared_id = entry.entry_id
 CROSS JOIN LATERAL (SELECT coalesce(transfer.log, leg.log, shared.log) AS log,
                            coalesce(transfer.number,
                                     leg.number, shared.number) AS number) AS named
  LEFT JOIN hub_log ON hub_log.log = named.log
 WHERE posting.account_id = 'clearing' AND posting.sequence > $1
   AND CASE WHEN named.number IS NULL THEN posting.sequence <= $2
       ELSE (coalesce(hub_log.place, 0), named.number)
         <= (coalesce((SELECT place FROM hub_log WHERE log = $5), 0), $6::bigint)
       END
 ORDER BY coalesce(hub_log.place, 0), named.number, posting.sequence;

-- write_leg --
-- Keep a leg as it now stands.
INSERT INTO leg (leg_id, cycle, item, line, at, debtor, creditor, milliseconds, state,
                 signed_at, author, reason, log, number, ended_at, code)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    ON CONFLICT (leg_id) DO UPDATE
   SET state = excluded.state, signed_at = excluded.signed_at, author = excluded.author,
       reason = excluded.reason, log = excluded.log, number = excluded.number,
       ended_at = excluded.ended_at, code = excluded.code;

-- read_legs_named --
-- Legs by id.
SELECT leg_id, cycle, item, line, at, debtor, creditor, milliseconds, state, signed_at,
       author, reason, log, number, ended_at, code
  FROM leg WHERE leg_id = ANY($1::uuid[]);

-- read_legs --
-- Legs, newest first.
SELECT leg_id, cycle, item, line, at, debtor, creditor, milliseconds, state, signed_at,
       author, reason, log, number, ended_at, code
  FROM leg WHERE item < $1
 ORDER BY item DESC LIMIT $2;

-- read_open_legs --
-- Legs that wait for a word of ours, the oldest first.
SELECT leg_id, cycle, item, line, at, debtor, creditor, milliseconds, state, signed_at,
       author, reason, log, number, ended_at, code
  FROM leg WHERE state = 'open'
 ORDER BY item LIMIT $1;

-- read_late_legs --
-- Legs of which a word has been waited for since some moment or longer, and about which
-- nobody was called.
SELECT leg_id
  FROM leg
 WHERE state IN ('open', 'signed') AND greatest(at, signed_at) <= $1
   AND NOT EXISTS (SELECT FROM late_leg WHERE late_leg.leg_id = leg.leg_id)
 ORDER BY item LIMIT $2;

-- insert_late --
-- Remember that the treasurer was called.
INSERT INTO late_leg (leg_id, called_at) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- read_legs_under_way --
-- Legs that have not ended, whoever's word they wait for, the oldest first.
SELECT leg_id, cycle, item, line, at, debtor, creditor, milliseconds, state, signed_at,
       author, reason, log, number, ended_at, code
  FROM leg WHERE state IN ('open', 'signed')
 ORDER BY item LIMIT $1;

-- read_legs_of --
-- Legs that settle what a cycle left.
SELECT leg_id, cycle, item, line, at, debtor, creditor, milliseconds, state, signed_at,
       author, reason, log, number, ended_at, code
  FROM leg WHERE cycle = $1
 ORDER BY item;

-- read_signer --
-- The name with which somebody who has signed a leg signs in.
SELECT sign_in_name FROM person WHERE person_id::text = $1;

-- read_settled --
-- What settled legs come to, signed as our position: up by what we paid. $1: our group.
SELECT coalesce(sum(CASE debtor WHEN $1 THEN milliseconds ELSE -milliseconds END), 0)
       ::bigint
  FROM leg WHERE state = 'settled';
