-- read_links --
-- All links, with the highest number an item for each peer has.
SELECT peer, sent, sent_head, acknowledged, acknowledged_head, taken, taken_head,
       lives, trouble,
       coalesce((SELECT max(number) FROM item
                  WHERE item.peer = link.peer AND direction = 'out'), 0) AS numbered
  FROM link;

-- write_links --
-- Keep links as they are after the batch.
INSERT INTO link (peer, sent, sent_head, acknowledged, acknowledged_head,
                  taken, taken_head, lives, trouble)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (peer) DO UPDATE
   SET sent = excluded.sent, sent_head = excluded.sent_head,
       acknowledged = excluded.acknowledged,
       acknowledged_head = excluded.acknowledged_head,
       taken = excluded.taken, taken_head = excluded.taken_head,
       lives = excluded.lives, trouble = excluded.trouble;

-- insert_items --
-- Keep items, taken or to send.
INSERT INTO item (peer, direction, number, line)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]);

-- insert_sealed_lines --
-- Keep the boxes that travel behind items.
INSERT INTO sealed_line (peer, direction, number, box)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]);

-- insert_envelopes --
-- Keep envelopes, taken or sealed.
INSERT INTO envelope (peer, direction, first, count, line_1, payload_hash, life, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[], $5::text[],
                     $6::text[], $7::text[], $8::timestamptz[]);

-- read_waiting --
-- Items for a peer that are not sealed yet, with their boxes, oldest first. A join
-- here would walk through every box that was ever sent.
SELECT item.number, item.line,
       (SELECT box FROM sealed_line
         WHERE sealed_line.peer = $1 AND sealed_line.direction = 'out'
           AND sealed_line.number = item.number) AS box
  FROM item
 WHERE item.peer = $1 AND item.direction = 'out' AND item.number > $2
 ORDER BY item.number
 LIMIT $3;

-- read_envelopes --
-- Envelopes of one direction from a number on, oldest first.
SELECT first, count, line_1, payload_hash, life
  FROM envelope
 WHERE peer = $1 AND direction = $2 AND first >= $3
 ORDER BY first
 LIMIT $4;

-- read_lines --
-- Items of one direction by number, with their boxes, oldest first.
SELECT item.number, item.line,
       (SELECT box FROM sealed_line
         WHERE sealed_line.peer = $1 AND sealed_line.direction = $2
           AND sealed_line.number = item.number) AS box
  FROM item
 WHERE item.peer = $1 AND item.direction = $2 AND item.number BETWEEN $3 AND $4
 ORDER BY item.number;

-- read_known --
-- Which envelopes of a peer carried these item numbers, by their first number.
SELECT DISTINCT envelope.first, envelope.life, envelope.payload_hash
  FROM unnest($2::bigint[]) AS wanted (number)
 CROSS JOIN LATERAL (
       SELECT first, life, payload_hash FROM envelope
        WHERE peer = $1 AND direction = 'in' AND first <= wanted.number
        ORDER BY first DESC LIMIT 1) AS envelope;

-- read_sealed_at --
-- When the envelope was sealed that carries an item for a peer, if it is sealed.
SELECT at
  FROM (SELECT first, count, at FROM envelope
         WHERE peer = $1 AND direction = 'out' AND first <= $2
         ORDER BY first DESC
         LIMIT 1) AS envelope
 WHERE $2 < first + count;

-- read_cover_limit --
-- Until when the covers of this server's former lives may be dated.
SELECT not_after FROM cover_limit;

-- write_cover_limit --
-- Allow covers up to a time; a next life's covers begin above it.
INSERT INTO cover_limit (not_after) VALUES ($1)
    ON CONFLICT (single) DO UPDATE SET not_after = excluded.not_after;
