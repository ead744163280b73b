-- read_belief --
-- The checkpoint that is believed now.
SELECT log, size, root, checked FROM belief
 WHERE checked IS NOT NULL
 ORDER BY checked DESC, at DESC
 LIMIT 1;

-- read_note --
-- The newest checkpoint of a log that was believed.
SELECT size, root, note FROM belief WHERE log = $1;

-- write_belief --
-- Believe a log up to a checkpoint.
INSERT INTO belief (log, size, root, note, checked, at)
VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (log) DO UPDATE
   SET size = excluded.size, root = excluded.root, note = excluded.note,
       checked = coalesce(excluded.checked, belief.checked), at = excluded.at;

-- read_doubt --
-- Whether histories contradict each other.
SELECT EXISTS (SELECT FROM doubt);

-- insert_doubt --
-- Keep two histories that contradict each other.
INSERT INTO doubt (at, told, ours, theirs) VALUES ($1, $2, $3, $4);

-- read_items --
-- The hub's items after a number, with the time when they were taken.
SELECT item.number, item.line,
       (SELECT at FROM envelope
         WHERE envelope.peer = 'hub' AND envelope.direction = 'in'
           AND envelope.first <= item.number
         ORDER BY envelope.first DESC LIMIT 1) AS at
  FROM item
 WHERE item.peer = 'hub' AND item.direction = 'in' AND item.number > $1
 ORDER BY item.number
 LIMIT $2;
