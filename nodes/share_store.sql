-- write_shared --
-- Keep a sharing as it now stands.
INSERT INTO shared (shared_id, why, group_name, item, line, amount, log, number,
                    decided_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (shared_id) DO UPDATE
   SET amount = excluded.amount, log = excluded.log, number = excluded.number,
       decided_at = excluded.decided_at;

-- read_shared_named --
-- Sharings by id.
SELECT shared_id, why, group_name, item, line, amount, log, number, decided_at
  FROM shared WHERE shared_id = ANY($1::uuid[]);

-- read_shared --
-- Sharings, those first that wait for a decision, then newest first.
SELECT shared_id, why, group_name, item, line, amount, log, number, decided_at
  FROM shared
 ORDER BY decided_at DESC NULLS FIRST, item DESC
 LIMIT $1;

-- read_borne --
-- What has been decided comes to, signed as our position.
SELECT coalesce(sum(amount), 0)::bigint FROM shared WHERE log IS NOT NULL;
