-- write_proposals --
-- Keep proposals as they now stand; those that end come before those that are new.
INSERT INTO proposal (group_name, number, line_hash, entry, at, state, decided_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[],
                     $5::timestamptz[], $6::text[], $7::timestamptz[])
    ON CONFLICT (group_name, number) DO UPDATE
   SET state = excluded.state, decided_at = excluded.decided_at;

-- read_newest --
-- The newest proposal of each group.
SELECT DISTINCT ON (group_name)
       group_name, number, line_hash, entry, at, state, decided_at
  FROM proposal
 ORDER BY group_name, number DESC;
