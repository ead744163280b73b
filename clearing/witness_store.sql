-- insert_witnesses --
-- Keep groups' covers that name a checkpoint; one each is enough.
INSERT INTO witness (log, size, group_name, cover)
SELECT $1, $2, * FROM unnest($3::text[], $4::text[])
    ON CONFLICT (log, size, group_name) DO NOTHING;

-- read_witnesses --
-- Covers that name a checkpoint, by group.
SELECT group_name, cover FROM witness WHERE log = $1 AND size = $2;

-- read_best --
-- The size beyond a decision that most groups named, but for some; of the newest.
SELECT size, array_agg(group_name) AS groups
  FROM (SELECT size, group_name
          FROM witness
         WHERE log = $1 AND size > $2
         ORDER BY size DESC
         LIMIT $4) AS newest
 WHERE group_name <> ALL($3::text[])
 GROUP BY size
 ORDER BY count(*) DESC, size DESC
 LIMIT 1;

-- read_all --
-- All covers that are kept, beside the checkpoint that each must name.
SELECT log, size, witness.group_name, witness.cover, checkpoint.root
  FROM witness LEFT JOIN checkpoint USING (log, size)
 ORDER BY log, size, group_name;

-- count_all --
-- How many covers are kept.
SELECT count(*) FROM witness;
