-- read_beliefs --
-- What is believed since people last began to trust the hub.
SELECT log, place, size, root, note FROM belief WHERE era = $1 ORDER BY place;

-- write_beliefs --
-- Believe logs up to checkpoints.
INSERT INTO belief (era, log, place, size, root, note, at)
SELECT $1, *, $7::timestamptz
  FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
    ON CONFLICT (era, log) DO UPDATE
   SET size = excluded.size, root = excluded.root, note = excluded.note,
       at = excluded.at;

-- read_compared --
-- Up to which item of the hub's everything was compared.
SELECT number FROM compared_item;

-- write_compared --
-- Remember up to which item everything was compared.
INSERT INTO compared_item (number) VALUES ($1)
    ON CONFLICT (single) DO UPDATE SET number = excluded.number;

-- read_era --
-- How often people have begun to trust the hub anew.
SELECT count(*) FROM trust WHERE about = 'hub';

-- read_doubted --
-- Who is doubted and not yet trusted again.
SELECT DISTINCT about FROM doubt
 WHERE NOT EXISTS (
       SELECT FROM trust
        WHERE trust.about = doubt.about AND trust.doubt_id >= doubt.doubt_id);

-- read_accepted --
-- Hashes of the keys that people have compared.
SELECT keys FROM accepted_keys;

-- insert_accepted --
-- Keep whose keys people have compared, and who says so.
INSERT INTO accepted_keys (at, group_name, keys, digits, author, reason)
VALUES ($1, $2, $3, $4, $5, $6);

-- insert_doubt --
-- Keep statements that contradict each other.
INSERT INTO doubt (at, about, told, ours, theirs) VALUES ($1, $2, $3, $4, $5);

-- insert_trust --
-- Keep who trusts a peer again, and why.
INSERT INTO trust (at, about, doubt_id, author, reason)
SELECT $1, $2, max(doubt_id), $3, $4 FROM doubt WHERE about = $2;

-- read_doubts --
-- Doubts before a number, newest first, and who has trusted again since.
SELECT doubt.doubt_id, doubt.at, doubt.about, doubt.told, doubt.ours, doubt.theirs,
       trust.at AS trusted_at, trust.author, trust.reason
  FROM doubt
  LEFT JOIN LATERAL (
       SELECT at, author, reason FROM trust
        WHERE trust.about = doubt.about AND trust.doubt_id >= doubt.doubt_id
        ORDER BY trust_id LIMIT 1) AS trust ON true
 WHERE doubt.doubt_id < $1
 ORDER BY doubt.doubt_id DESC
 LIMIT $2;

-- read_after --
-- The hub's items after a number, oldest first.
SELECT number, line
  FROM item
 WHERE peer = 'hub' AND direction = 'in' AND number > $1
 ORDER BY number
 LIMIT $2;

-- read_before --
-- The hub's items up to a number, newest first.
SELECT number, line
  FROM item
 WHERE peer = 'hub' AND direction = 'in' AND number <= $1
 ORDER BY number DESC
 LIMIT $2;

-- read_envelope --
-- The line 1 under which an item came from the hub or went to it, and the envelope's
-- items.
SELECT envelope.first, envelope.line_1,
       ARRAY(SELECT line FROM item
              WHERE item.peer = 'hub' AND item.direction = $2
                AND item.number >= envelope.first
                AND item.number < envelope.first + envelope.count
              ORDER BY item.number) AS lines
  FROM envelope
 WHERE peer = 'hub' AND direction = $2 AND first <= $1
 ORDER BY first DESC
 LIMIT 1;
