-- write_renewal --
-- Keep new keys that were asked for, as they now stand.
INSERT INTO renewal (number, entry, statement, at, is_recovery, state, answered_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (entry) DO UPDATE
   SET state = excluded.state, answered_at = excluded.answered_at;

-- read_renewed --
-- What was asked with these signed entries.
SELECT number, entry, statement, at, is_recovery, state, answered_at
  FROM renewal
 WHERE entry = ANY($1::text[]);

-- read_newest --
-- The newest keys that were asked for.
SELECT number, entry, statement, at, is_recovery, state, answered_at
  FROM renewal ORDER BY renewal_id DESC LIMIT 1;
