-- read_newest_wish --
-- The newest wish to leave.
SELECT number, at, author, reason, state, answered_at
  FROM leaving_wish ORDER BY number DESC LIMIT 1;

-- write_wish --
-- Keep a wish to leave as it now stands.
INSERT INTO leaving_wish (number, at, author, reason, state, answered_at)
VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (number) DO UPDATE
   SET state = excluded.state, answered_at = excluded.answered_at;
