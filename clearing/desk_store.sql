-- read_flows --
-- What groups gave each other in transfers cleared since, largest first.
SELECT payer_group, payee_group, count(*) AS transfers,
       sum(milliseconds) AS milliseconds
  FROM transfer
 WHERE state = 'cleared' AND decided_at >= $1
 GROUP BY payer_group, payee_group
 ORDER BY sum(milliseconds) DESC, payer_group, payee_group;

-- read_undecided --
-- Transfers that are not decided yet, oldest first.
SELECT transfer_id, payer_group, payee_group, milliseconds, state, taken_at, decide_by
  FROM transfer
 WHERE state IN ('ordered', 'taken', 'offered', 'accepted')
 ORDER BY taken_at, transfer_id
 LIMIT $1;

-- read_ages --
-- How many transfers are not decided yet, by the newest of some times that they were
-- taken before (0: none of them).
SELECT (SELECT count(*) FROM unnest($1::timestamptz[]) AS mark (at)
         WHERE transfer.taken_at < mark.at) AS age,
       count(*) AS transfers, sum(milliseconds) AS milliseconds
  FROM transfer
 WHERE state IN ('ordered', 'taken', 'offered', 'accepted')
 GROUP BY age
 ORDER BY age;

-- read_links --
-- How far each link is: when something last came in, what waits for the peer, and
-- when the oldest of that was sealed.
SELECT link.peer, link.taken, link.acknowledged,
       coalesce((SELECT max(number) FROM item
                  WHERE item.peer = link.peer AND direction = 'out'), 0) AS numbered,
       (SELECT at FROM envelope
         WHERE envelope.peer = link.peer AND direction = 'in'
         ORDER BY first DESC LIMIT 1) AS taken_at,
       (SELECT at FROM envelope
         WHERE envelope.peer = link.peer AND direction = 'out'
           AND first > link.acknowledged
         ORDER BY first LIMIT 1) AS sealed_at
  FROM link
 ORDER BY link.peer;

-- read_naming --
-- Items of a stream that name a transfer, oldest first: sealed or taken not long
-- before one time, and those of the other side not after another.
SELECT number, line
  FROM item
 WHERE peer = $1 AND direction = $2
   AND number >= coalesce((SELECT first FROM envelope
                            WHERE peer = $1 AND direction = $2 AND at < $3
                            ORDER BY first DESC LIMIT 1), 1)
   AND ($4::timestamptz IS NULL
        OR number <= (SELECT first + count - 1 FROM envelope
                       WHERE peer = $1 AND direction = $2 AND at <= $4
                       ORDER BY first DESC LIMIT 1))
   AND position(convert_to($5, 'UTF8') IN line) > 0
 ORDER BY number
 LIMIT $6;

-- read_envelope --
-- The envelope that carries an item, if it is sealed.
SELECT first, count, line_1, at
  FROM (SELECT first, count, line_1, at FROM envelope
         WHERE peer = $1 AND direction = $2 AND first <= $3
         ORDER BY first DESC
         LIMIT 1) AS nearest
 WHERE $3 < first + count;

-- read_lines --
-- Items of a stream by number, in order.
SELECT line FROM item
 WHERE peer = $1 AND direction = $2 AND number BETWEEN $3 AND $4
 ORDER BY number;

-- read_invited --
-- Invitations that still count, those that end first to begin with.
SELECT group_name, floor, ceiling, until
  FROM invitation
 WHERE spent_at IS NULL AND until > $1
 ORDER BY until, group_name
 LIMIT $2;
