-- write_renewal --
-- Keep new keys that were asked for, as they now stand. An entry with a hundred rates
-- is too long for an index, so none finds it again; there are few of them.
WITH known AS (
    UPDATE renewal SET state = $6, answered_at = $7 WHERE entry = $2 RETURNING entry
)
INSERT INTO renewal (number, entry, statement, at, is_recovery, state, answered_at)
SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM known);

-- read_renewed --
-- What was asked with these signed entries.
SELECT number, entry, statement, at, is_recovery, state, answered_at
  FROM renewal
 WHERE entry = ANY($1::text[]);

-- read_newest --
-- The newest keys that were asked for.
SELECT number, entry, statement, at, is_recovery, state, answered_at
  FROM renewal ORDER BY renewal_id DESC LIMIT 1;
