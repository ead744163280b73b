-- read_identity --
-- Who this hub is.
SELECT federation, statement FROM hub_identity;

-- insert_identity --
-- Remember who this hub is, once.
INSERT INTO hub_identity (federation, statement) VALUES ($1, $2);

-- insert_decisions --
-- Keep decisions as leaves, behind those that are there.
INSERT INTO decision (log, number, sequence, line)
SELECT added.log, added.number,
       (SELECT coalesce(max(sequence), 0) FROM decision) + added.place, added.line
  FROM unnest($1::text[], $2::bigint[], $3::bytea[]) WITH ORDINALITY
    AS added (log, number, line, place);

-- write_mirrors --
-- Keep what nodes last said their clearing balance is, and what last agreed.
INSERT INTO mirror (group_name, log, number, balance, agreed_log, agreed_number,
                    differs, called_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[],
                     $6::bigint[], $7::boolean[], $8::timestamptz[])
    ON CONFLICT (group_name) DO UPDATE
   SET log = excluded.log, number = excluded.number, balance = excluded.balance,
       agreed_log = excluded.agreed_log, agreed_number = excluded.agreed_number,
       differs = excluded.differs, called_at = excluded.called_at;

-- read_mirrors --
-- How mirrors compare with positions, by group.
SELECT group_name, agreed_log, agreed_number, differs, called_at FROM mirror;

-- end_invitations --
-- Let a group's invitations that nobody has used count no more.
UPDATE invitation SET until = $2
 WHERE group_name = $1 AND spent_at IS NULL AND until > $2;

-- insert_invitation --
-- Keep an invitation under the hash of its code.
INSERT INTO invitation (code_hash, group_name, floor, ceiling, until)
VALUES ($1, $2, $3, $4, $5);

-- read_invitations --
-- Invitations by the hash of their code.
SELECT code_hash, group_name, floor, ceiling, until, request_hash
  FROM invitation WHERE code_hash = ANY($1::text[]);

-- spend_invitation --
-- Use up an invitation.
UPDATE invitation SET request_hash = $2, spent_at = $3
 WHERE code_hash = $1 AND request_hash IS NULL;

-- read_positions --
-- Every group's position, and what its node last mirrored.
SELECT account.account_id, account.balance, account.held_out, account.held_in,
       account.floor, account.ceiling, account.frozen,
       mirror.log, mirror.number, mirror.balance AS mirrored
  FROM account LEFT JOIN mirror ON mirror.group_name = account.account_id
 WHERE account.kind = 'group'
 ORDER BY account.account_id;

-- read_position_at --
-- A group's position just after a decision: its newest posting up to there, 0 before
-- the first; no row for a decision that the hub has not made.
SELECT coalesce(
           (SELECT posting.balance_after
              FROM posting JOIN entry USING (sequence)
              LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
              LEFT JOIN leg ON leg.leg_id = entry.entry_id
              LEFT JOIN shared ON shared.shared_id = entry.entry_id
              JOIN decision ON decision.log = coalesce(transfer.log, leg.log, shared.log)
                           AND decision.number = coalesce(transfer.number,
                                                          leg.number, shared.number)
             WHERE posting.account_id = $1 AND decision.sequence <= named.sequence
             ORDER BY posting.sequence DESC
             LIMIT 1), 0)
  FROM decision AS named
 WHERE named.log = $2 AND named.number = $3;

-- read_mirrored --
-- The decision that each group's newest mirror names, of those that were made.
SELECT mirror.group_name, mirror.log, mirror.number
  FROM mirror JOIN decision USING (log, number);

-- is_before --
-- Whether one decision was made before another.
SELECT EXISTS (
    SELECT FROM decision AS one, decision AS other
     WHERE one.log = $1 AND one.number = $2 AND other.log = $3 AND other.number = $4
       AND one.sequence < other.sequence);

-- read_moves --
-- Of what moved a group's position last, what was decided after one decision (or
-- from the first) up to another, oldest first.
SELECT entry.entry_id AS transfer_id, newest.amount
  FROM (SELECT sequence, amount FROM posting
         WHERE account_id = $1 ORDER BY sequence DESC LIMIT $6) AS newest
  JOIN entry USING (sequence)
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
  LEFT JOIN leg ON leg.leg_id = entry.entry_id
  LEFT JOIN shared ON shared.shared_id = entry.entry_id
  JOIN decision ON decision.log = coalesce(transfer.log, leg.log, shared.log)
               AND decision.number = coalesce(transfer.number, leg.number, shared.number)
 WHERE decision.sequence > coalesce(
           (SELECT sequence FROM decision WHERE log = $2 AND number = $3), 0)
   AND decision.sequence <= (SELECT sequence FROM decision
                              WHERE log = $4 AND number = $5)
 ORDER BY decision.sequence;

-- insert_checkpoint --
-- Keep a signed checkpoint.
INSERT INTO checkpoint (log, size, root, note) VALUES ($1, $2, $3, $4);

-- insert_tile_hashes --
-- Keep entries of tiles above level 0.
INSERT INTO tile_hash (log, level, index, hash)
SELECT $1, * FROM unnest($2::integer[], $3::bigint[], $4::bytea[]);

-- read_last_checkpoint --
-- The newest checkpoint of the log that was opened last.
SELECT log, size, root FROM checkpoint
 WHERE log = (SELECT log FROM decision ORDER BY sequence DESC LIMIT 1)
 ORDER BY size DESC
 LIMIT 1;

-- read_note --
-- A log's signed checkpoint of one size, or its newest.
SELECT note FROM checkpoint
 WHERE log = $1 AND (size = $2 OR $2 = 0)
 ORDER BY size DESC
 LIMIT 1;

-- read_signed --
-- What was signed of a log at some sizes.
SELECT size, root FROM checkpoint WHERE log = $1 AND size = ANY($2::bigint[]);

-- read_leaves --
-- Decisions of a log, in order.
SELECT line FROM decision
 WHERE log = $1 AND number BETWEEN $2 AND $3
 ORDER BY number;

-- read_tile_hashes --
-- Entries of a tile above level 0, in order.
SELECT hash FROM tile_hash
 WHERE log = $1 AND level = $2 AND index BETWEEN $3 AND $4
 ORDER BY index;
