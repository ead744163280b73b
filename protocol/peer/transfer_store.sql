-- read_transfers --
-- The transfers of a batch.
SELECT transfer_id, role, state, payer_group, payee_group, milliseconds,
       payer_rate, payee_rate, decide_by, prepare, content, taken_at, item_number,
       account, amount, deliver, decided_at, log, number, code, answer,
       waiting, waiting_code, is_cancel_sent, refund_of, refunded,
       author, other, answer_number
  FROM transfer
 WHERE transfer_id = ANY($1::uuid[]);

-- read_due --
-- Undecided transfers whose time is up, or whose decision waits for a comparison;
-- none of groups that cannot be decided on, for they would hide the others; of groups
-- that have more of the hub's than it knows, only what was never offered.
SELECT transfer_id
  FROM transfer
 WHERE state IN ('taken', 'offered')
   AND (decide_by <= $1 OR waiting IS NOT NULL OR waiting_code IS NOT NULL)
   AND payer_group <> ALL($3::text[]) AND payee_group <> ALL($3::text[])
   AND (state = 'taken'
        OR (payer_group <> ALL($4::text[]) AND payee_group <> ALL($4::text[])))
 ORDER BY decide_by
 LIMIT $2;

-- read_late --
-- Payments *now* of our members that did not even reach the hub in time.
SELECT transfer_id
  FROM transfer
 WHERE state = 'ordered' AND deliver = 'now' AND NOT is_cancel_sent
   AND decide_by <= $1 AND item_number > $2
 ORDER BY decide_by
 LIMIT $3;

-- read_undecided --
-- How many transfers are not yet decided here.
SELECT count(*) FROM transfer
 WHERE state IN ('ordered', 'taken', 'offered', 'accepted');

-- read_undecided_page --
-- What is not yet decided here, the first deadline first.
SELECT transfer_id, content.line
  FROM transfer
  LEFT JOIN content ON content.content_id = transfer.content
 WHERE state IN ('ordered', 'taken', 'offered', 'accepted')
   AND (decide_by, transfer_id) > ($1, $2::uuid)
 ORDER BY decide_by, transfer_id
 LIMIT $3;

-- read_moved --
-- What decisions on transfers with other groups come to, and what is yet to decide.
SELECT coalesce(sum(CASE role WHEN 'payee' THEN milliseconds ELSE -milliseconds END)
                FILTER (WHERE state = 'cleared'), 0)::bigint AS decided,
       coalesce(sum(milliseconds) FILTER (WHERE role = 'payer' AND is_open), 0)::bigint
           AS going_out,
       coalesce(sum(milliseconds) FILTER (WHERE role = 'payee' AND is_open), 0)::bigint
           AS coming_in
  FROM (SELECT role, state, milliseconds,
               state IN ('ordered', 'offered', 'accepted') AS is_open
          FROM transfer
         WHERE payer_group <> payee_group) AS elsewhere;

-- write_transfers --
-- Keep transfers as they are after the batch; a new state is a new change.
INSERT INTO transfer (
       transfer_id, role, state, payer_group, payee_group, milliseconds,
       payer_rate, payee_rate, decide_by, prepare, content, taken_at, item_number,
       account, amount, deliver, decided_at, log, number, code, answer,
       waiting, waiting_code, is_cancel_sent, refund_of, refunded,
       author, other, answer_number)
SELECT * FROM unnest(
       $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
       $7::bigint[], $8::bigint[], $9::timestamptz[], $10::text[], $11::text[],
       $12::timestamptz[], $13::bigint[], $14::text[], $15::bigint[], $16::text[],
       $17::timestamptz[], $18::text[], $19::bigint[], $20::text[], $21::text[],
       $22::text[], $23::text[], $24::boolean[],
       $25::uuid[], $26::bigint[], $27::text[], $28::text[], $29::bigint[])
    ON CONFLICT (transfer_id) DO UPDATE
   SET payer_group = excluded.payer_group, payee_group = excluded.payee_group,
       milliseconds = excluded.milliseconds, payer_rate = excluded.payer_rate,
       payee_rate = excluded.payee_rate, decide_by = excluded.decide_by,
       prepare = excluded.prepare, content = excluded.content,
       taken_at = excluded.taken_at, item_number = excluded.item_number,
       state = excluded.state, decided_at = excluded.decided_at, log = excluded.log,
       number = excluded.number, code = excluded.code, answer = excluded.answer,
       waiting = excluded.waiting, waiting_code = excluded.waiting_code,
       is_cancel_sent = excluded.is_cancel_sent, refund_of = excluded.refund_of,
       refunded = excluded.refunded, author = excluded.author,
       answer_number = excluded.answer_number,
       changed = CASE WHEN (transfer.state, transfer.refunded)
                         = (excluded.state, excluded.refunded)
                      THEN transfer.changed ELSE excluded.changed END;

-- read_changes --
-- An account's transfers that have changed since, oldest change first.
SELECT found.changed, found.transfer_id, content.line
  FROM ((SELECT changed, transfer_id, content
           FROM transfer
          WHERE account = $1 AND account <> '' AND changed > $2
          ORDER BY changed
          LIMIT $3)
         UNION ALL
        (SELECT changed, transfer_id, content
           FROM transfer
          WHERE other = $1 AND other <> '' AND changed > $2
          ORDER BY changed
          LIMIT $3)) AS found
  LEFT JOIN content ON content.content_id = found.content
 ORDER BY found.changed
 LIMIT $3;

-- read_newest_change --
-- The newest change of an account's transfers.
SELECT greatest(
       (SELECT max(changed) FROM transfer WHERE account = $1 AND account <> ''),
       (SELECT max(changed) FROM transfer WHERE other = $1 AND other <> ''), 0);

-- write_contents --
-- Keep content lines under their hash.
INSERT INTO content (content_id, line)
SELECT * FROM unnest($1::text[], $2::bytea[])
    ON CONFLICT (content_id) DO NOTHING;

-- read_content --
-- A content line, while it is kept.
SELECT line FROM content WHERE content_id = $1;
