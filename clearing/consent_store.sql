-- read_consents --
-- All that was ever asked, oldest first: dangerous acts are few.
SELECT number, act, asked_by, asked_at, state, ended_by, ended_at, seen
  FROM consent ORDER BY number;

-- write_consent --
-- Keep what was asked as it now stands.
INSERT INTO consent
       (number, act, asked_by, asked_at, state, ended_by, ended_at, seen)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (number) DO UPDATE
   SET state = excluded.state, ended_by = excluded.ended_by,
       ended_at = excluded.ended_at;
