-- write_proposal --
-- Keep a proposal as it now stands.
INSERT INTO proposal (number, entry, at, state, answered_at)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (number) DO UPDATE
   SET state = excluded.state, answered_at = excluded.answered_at;

-- read_asked --
-- The newest proposals of entries, each with one of these signatures.
SELECT DISTINCT ON (entry)
       number, entry, at, state, answered_at
  FROM proposal
 WHERE entry = ANY($1::text[])
 ORDER BY entry, number DESC;

-- read_newest --
-- The newest proposal.
SELECT number, entry, at, state, answered_at
  FROM proposal ORDER BY number DESC LIMIT 1;
