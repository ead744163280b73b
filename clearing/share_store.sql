-- write_shared --
-- Keep a sharing as it now stands.
INSERT INTO shared (shared_id, why, group_name, place, line, told_at, state, log, number,
                    decided_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (shared_id) DO UPDATE
   SET state = excluded.state, log = excluded.log, number = excluded.number,
       decided_at = excluded.decided_at;

-- read_of_groups --
-- All that was ever told of what some groups leave behind.
SELECT shared_id, why, group_name, place, line, told_at, state, log, number, decided_at
  FROM shared WHERE group_name = ANY($1::text[])
 ORDER BY group_name, place;

-- read_group_since --
-- A group of which something was shared behind a decision: the newest.
SELECT group_name
  FROM shared JOIN decision USING (log, number)
 WHERE why = 'debt'
   AND decision.sequence > (SELECT sequence FROM decision
                             WHERE log = $1 AND number = $2)
 ORDER BY decision.sequence DESC LIMIT 1;

-- read_one --
-- One sharing, with the decision that made it.
SELECT shared_id, why, group_name, place, shared.line, told_at, state, log, number,
       decided_at, decision.line AS decision
  FROM shared LEFT JOIN decision USING (log, number)
 WHERE shared_id = $1;

-- read_shared --
-- Sharings, newest first, each with the decision that made it.
SELECT shared_id, why, group_name, place, shared.line, told_at, state, log, number,
       decided_at, decision.line AS decision
  FROM shared LEFT JOIN decision USING (log, number)
 ORDER BY coalesce(told_at, decided_at) DESC, place DESC
 LIMIT $1;
