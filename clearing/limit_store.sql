-- insert_changes --
-- Keep changes of limits, caps and the threshold, each under its number.
INSERT INTO limit_change (number, at, about, group_name, payee_group, signed)
SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[],
                     $5::text[], $6::text[]);

-- write_warned --
-- Remember of which limits people were called, or that it is over.
INSERT INTO warned (group_name, limit_name, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])
    ON CONFLICT (group_name) DO UPDATE
   SET limit_name = excluded.limit_name, at = excluded.at;

-- read_newest_change --
-- The newest change.
SELECT signed FROM limit_change ORDER BY number DESC LIMIT 1;

-- read_threshold --
-- The change that set the threshold which counts.
SELECT signed FROM limit_change WHERE about = 'warning' ORDER BY number DESC LIMIT 1;

-- read_caps --
-- The newest change about each pair of groups, whether it set a cap or ended it.
SELECT DISTINCT ON (group_name, payee_group) signed
  FROM limit_change
 WHERE about = 'cap'
 ORDER BY group_name, payee_group, number DESC;

-- read_warned --
-- Of whose limit people were called, where that still stands.
SELECT group_name, limit_name FROM warned WHERE limit_name IS NOT NULL;

-- read_use --
-- What pairs of groups have cleared behind an entry, or hold, by the month in which the
-- hub took it. The payers' own postings lead there, and the few that are undecided.
SELECT payer_group, payee_group,
       to_char(taken_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
       sum(milliseconds)::text AS used
  FROM (SELECT transfer.*
          FROM posting JOIN entry USING (sequence)
          JOIN transfer ON transfer.transfer_id = entry.transfer_id
         WHERE posting.account_id = ANY($1::text[]) AND posting.sequence > $3
           AND transfer.payer_group = posting.account_id
           AND transfer.state = 'cleared'
        UNION ALL
        SELECT * FROM transfer
         WHERE state IN ('ordered', 'taken', 'offered', 'accepted')
           AND state = 'offered' AND payer_group = ANY($1::text[])) AS counted
  JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])
            AS named (payer_group, payee_group)) AS pair
       USING (payer_group, payee_group)
 GROUP BY payer_group, payee_group, month;

-- read_history --
-- What has changed about a group's limits and caps before a number, newest first.
SELECT signed FROM limit_change
 WHERE (group_name = $1 OR payee_group = $1) AND number < $2
 ORDER BY number DESC
 LIMIT $3;

-- read_chain --
-- The whole chain of changes before a number, newest first.
SELECT signed FROM limit_change WHERE number < $1 ORDER BY number DESC LIMIT $2;

-- read_thresholds --
-- Who has set the threshold, newest first.
SELECT signed FROM limit_change
 WHERE about = 'warning'
 ORDER BY number DESC
 LIMIT $1;

-- read_positions --
-- Every group's position between its limits.
SELECT account_id, balance, floor, ceiling FROM account WHERE kind = 'group';
