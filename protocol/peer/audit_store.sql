-- balances_are_sums --
-- Accounts whose balance is not the sum of their postings, and postings of no account.
SELECT 'account' AS place, account_id AS key,
       coalesce(account.balance::text, 'no account') AS found,
       coalesce(booked.total, 0)::text AS expected
  FROM account
  FULL JOIN (SELECT account_id, sum(amount) AS total
               FROM posting GROUP BY account_id) AS booked USING (account_id)
 WHERE account.balance IS DISTINCT FROM coalesce(booked.total, 0)
 ORDER BY account_id;

-- histories_run --
-- Postings at which an account's running sum breaks off. A row after one that was
-- altered is right again when it agrees with the sum or with the row before it.
SELECT 'posting' AS place, account_id || ', ' || sequence AS key,
       balance_after::text AS found, running::text AS expected
  FROM (SELECT account_id, sequence, balance_after,
               sum(amount) OVER history AS running,
               lag(balance_after, 1, 0::bigint) OVER history + amount::numeric
                   AS continued
          FROM posting
        WINDOW history AS (PARTITION BY account_id ORDER BY sequence
                           ROWS UNBOUNDED PRECEDING)) AS walked
 WHERE balance_after <> running AND balance_after <> continued
 ORDER BY account_id, sequence;

-- entries_sum_to_zero --
-- Entries whose postings do not sum to zero in some unit.
SELECT 'entry' AS place, sequence || ', ' || unit AS key,
       sum(amount)::text AS found, '0' AS expected
  FROM posting JOIN account USING (account_id)
 GROUP BY sequence, unit
HAVING sum(amount) <> 0
 ORDER BY sequence, unit;

-- entries_have_postings --
-- Entries with fewer than two postings, and postings of no entry.
SELECT 'entry' AS place, sequence::text AS key,
       CASE WHEN entry.sequence IS NULL
            THEN 'no entry of ' || booked.many || ' postings'
            ELSE coalesce(booked.many, 0) || ' postings' END AS found,
       'an entry and two postings or more' AS expected
  FROM entry
  FULL JOIN (SELECT sequence, count(*) AS many
               FROM posting GROUP BY sequence) AS booked USING (sequence)
 WHERE entry.sequence IS NULL OR coalesce(booked.many, 0) < 2
 ORDER BY sequence;

-- entries_have_no_gaps --
-- Entries before which a number is missing.
SELECT 'entry' AS place, sequence::text AS key,
       'entry ' || sequence AS found, 'entry ' || following AS expected
  FROM (SELECT sequence,
               lag(sequence, 1, 0::bigint) OVER (ORDER BY sequence) + 1 AS following
          FROM entry) AS walked
 WHERE sequence <> following
 ORDER BY sequence;

-- ledger_sums_to_zero --
-- Units in which all balances together, or all postings, are not zero.
SELECT 'account' AS place, 'all, ' || unit AS key,
       'balances ' || sum(account.balance)
           || ', postings ' || coalesce(sum(booked.total), 0) AS found,
       'balances 0, postings 0' AS expected
  FROM account
  LEFT JOIN (SELECT account_id, sum(amount) AS total
               FROM posting GROUP BY account_id) AS booked USING (account_id)
 GROUP BY unit
HAVING sum(account.balance) <> 0 OR coalesce(sum(booked.total), 0) <> 0
 ORDER BY unit;

-- held_amounts_are_sums --
-- Accounts whose held amounts are not the sums of the holds that still stand.
SELECT 'account' AS place, account_id AS key,
       CASE WHEN account.kind IS NULL THEN 'no account'
            ELSE 'out ' || account.held_out || ', in ' || account.held_in END AS found,
       'out ' || coalesce(held.out, 0) || ', in ' || coalesce(held.in, 0) AS expected
  FROM account
  FULL JOIN (SELECT side.account_id, sum(side.out) AS out, sum(side.in) AS in
               FROM hold
              CROSS JOIN LATERAL (
                    VALUES (debit_account, amount, 0), (credit_account, 0, amount))
                 AS side (account_id, "out", "in")
              WHERE state = 'held'
              GROUP BY side.account_id) AS held USING (account_id)
 WHERE account.held_out IS DISTINCT FROM coalesce(held.out, 0)
    OR account.held_in IS DISTINCT FROM coalesce(held.in, 0)
 ORDER BY account_id;

-- holds_follow_transfers --
-- Holds that stand otherwise than their transfer, and transfers without their hold. One
-- that was refused may never have had any; inside a group nothing is ever held.
SELECT 'hold' AS place, transfer_id::text AS key,
       coalesce(hold.state, 'no hold') AS found,
       coalesce(lawful.state, 'no hold') || ' for ' || coalesce(transfer.state, 'no')
           || ' transfer' AS expected
  FROM transfer
  FULL JOIN hold USING (transfer_id)
 CROSS JOIN LATERAL (
       SELECT CASE
              WHEN transfer.state IN ('ordered', 'offered', 'accepted') THEN 'held'
              WHEN transfer.state = 'refused' THEN 'voided'
              WHEN transfer.state = 'cleared'
                   AND transfer.payer_group <> transfer.payee_group THEN 'posted'
              END AS state) AS lawful
 WHERE hold.state IS DISTINCT FROM lawful.state
   AND NOT (transfer.state = 'refused' AND hold.state IS NULL
            AND transfer.transfer_id IS NOT NULL)
 ORDER BY transfer_id;

-- system_accounts_have_no_limits --
-- The server's own accounts that somebody has bounded, frozen or closed.
SELECT 'account' AS place, account_id AS key, what || ' ' || says AS found,
       what || ' ' || lawful AS expected
  FROM account
 CROSS JOIN LATERAL (VALUES
       ('floor', coalesce(floor::text, 'none'), 'none'),
       ('ceiling', coalesce(ceiling::text, 'none'), 'none'),
       ('frozen', frozen::text, 'false'),
       ('closed', closed::text, 'false')) AS said (what, says, lawful)
 WHERE kind = 'system' AND says <> lawful
 ORDER BY account_id, what;

-- entries_are_of_cleared_transfers --
-- Entries that name a transfer which is not cleared here, or another content than its.
SELECT 'entry' AS place, entry.sequence::text AS key,
       'content ' || coalesce(entry.content_id, 'none') || ' of transfer '
           || entry.transfer_id AS found,
       CASE WHEN transfer.state IS NULL THEN 'a transfer by that id'
            WHEN transfer.state <> 'cleared' THEN 'cleared, not ' || transfer.state
            ELSE 'content ' || transfer.content END AS expected
  FROM entry LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
 WHERE entry.transfer_id IS NOT NULL
   AND (transfer.state IS DISTINCT FROM 'cleared'
        OR entry.kind IN ('transfer', 'local')
           AND entry.content_id IS DISTINCT FROM transfer.content)
 ORDER BY entry.sequence;

-- refunds_are_counted --
-- Transfers that count other refunds than there are of them, held or cleared; a refund
-- of what is not cleared here counts on nothing. A payment whose entry was corrected
-- counts as given back as a whole.
SELECT 'transfer' AS place, transfer_id::text AS key,
       coalesce(original.state, 'no transfer') || ', refunded '
           || coalesce(original.refunded, 0) AS found,
       'cleared, refunded ' || coalesce(given.back, 0) AS expected
  FROM transfer AS original
  FULL JOIN (SELECT transfer_id, sum(back) AS back
               FROM (SELECT refund_of AS transfer_id, milliseconds AS back
                       FROM transfer
                      WHERE refund_of IS NOT NULL
                        AND state IN ('ordered', 'offered', 'accepted', 'cleared')
                      UNION ALL
                     SELECT corrected.transfer_id, transfer.milliseconds
                       FROM entry AS correction
                       JOIN entry AS corrected
                         ON corrected.entry_id = correction.corrects
                       JOIN transfer ON transfer.transfer_id = corrected.transfer_id)
                    AS each
              GROUP BY transfer_id) AS given USING (transfer_id)
 WHERE original.refunded IS DISTINCT FROM coalesce(given.back, 0)
    OR given.back IS NOT NULL AND original.state <> 'cleared'
 ORDER BY transfer_id;

-- corrections_are_negations --
-- Counter-entries that are not the exact negation of the entry that they name.
SELECT 'entry' AS place, sequence || ', ' || account_id AS key,
       coalesce(sum(amount) FILTER (WHERE is_correction), 0)::text AS found,
       coalesce(-sum(amount) FILTER (WHERE NOT is_correction), 0)::text AS expected
  FROM (SELECT correction.sequence, posting.account_id, posting.amount,
               true AS is_correction
          FROM entry AS correction JOIN posting USING (sequence)
         WHERE correction.corrects IS NOT NULL
         UNION ALL
        SELECT correction.sequence, posting.account_id, posting.amount, false
          FROM entry AS correction
          JOIN entry AS corrected ON corrected.entry_id = correction.corrects
          JOIN posting ON posting.sequence = corrected.sequence) AS both_sides
 GROUP BY sequence, account_id
HAVING sum(amount) <> 0
 ORDER BY sequence, account_id;

-- contents_have_their_names --
-- Content lines whose SHA-256, in base64url, is not their name.
SELECT 'content' AS place, content_id AS key, hashed.name AS found,
       content_id AS expected
  FROM content
 CROSS JOIN LATERAL (
       SELECT translate(encode(sha256(line), 'base64'), '+/=', '-_') AS name) AS hashed
 WHERE content_id <> hashed.name
 ORDER BY content_id;

-- items_have_no_gaps --
-- Items before which a number is missing in their stream.
SELECT 'item' AS place, peer || ', ' || direction || ', ' || number AS key,
       'item ' || number AS found, 'item ' || following AS expected
  FROM (SELECT peer, direction, number,
               lag(number, 1, 0::bigint) OVER (
                   PARTITION BY peer, direction ORDER BY number) + 1 AS following
          FROM item) AS walked
 WHERE number <> following
 ORDER BY peer, direction, number;

-- links_stand_where_streams_end --
-- Links that say otherwise than the streams that are stored; $1: the hash of nothing.
SELECT 'link' AS place, coalesce(link.peer, ends.peer) || ', ' || what AS key,
       coalesce(says, 'no link') AS found, stands AS expected
  FROM (SELECT peer, what, stands
          FROM (SELECT peer FROM link
                 UNION SELECT peer FROM item
                 UNION SELECT peer FROM envelope) AS known
         CROSS JOIN LATERAL (
               SELECT coalesce(max(first::numeric + count - 1)
                               FILTER (WHERE direction = 'in'), 0) AS taken,
                      coalesce(max(first::numeric + count - 1)
                               FILTER (WHERE direction = 'out'), 0) AS sent
                 FROM envelope WHERE envelope.peer = known.peer) AS far
         CROSS JOIN LATERAL (VALUES
               ('taken', far.taken || ' ' || coalesce(
                   (SELECT payload_hash FROM envelope
                     WHERE envelope.peer = known.peer AND direction = 'in'
                     ORDER BY first DESC LIMIT 1), $1::text)),
               ('items taken', coalesce(
                   (SELECT max(number) FROM item
                     WHERE item.peer = known.peer AND direction = 'in'), 0)::text),
               ('sent', far.sent || ' ' || coalesce(
                   (SELECT payload_hash FROM envelope
                     WHERE envelope.peer = known.peer AND direction = 'out'
                     ORDER BY first DESC LIMIT 1), $1::text)),
               ('acknowledged', coalesce(
                   (SELECT link.acknowledged || ' ' || payload_hash
                      FROM envelope JOIN link USING (peer)
                     WHERE envelope.peer = known.peer AND direction = 'out'
                       AND first::numeric + count - 1 = link.acknowledged),
                   '0 ' || $1::text)))
            AS ending (what, stands)) AS ends
  LEFT JOIN link ON link.peer = ends.peer
 CROSS JOIN LATERAL (
       SELECT CASE what
              WHEN 'taken' THEN link.taken || ' ' || link.taken_head
              WHEN 'items taken' THEN link.taken::text
              WHEN 'sent' THEN link.sent || ' ' || link.sent_head
              WHEN 'acknowledged'
                   THEN link.acknowledged || ' ' || link.acknowledged_head
              END AS says) AS said
 WHERE says IS DISTINCT FROM stands
 ORDER BY ends.peer, what;

-- read_sums --
-- What all postings sum to, by unit: zero on every ledger.
SELECT unit, coalesce(sum(amount), 0)::text AS total
  FROM account LEFT JOIN posting USING (account_id)
 GROUP BY unit
 ORDER BY unit;

-- read_changes --
-- All directory decisions, in the order they were taken.
SELECT sequence, group_name, line FROM directory_change ORDER BY sequence;

-- read_streams --
-- The streams that have envelopes, and how many.
SELECT peer, direction, count(*) AS many
  FROM envelope
 GROUP BY peer, direction
 ORDER BY peer, direction;

-- read_envelopes --
-- A stream's envelopes with the leaf hashes of their items (RFC 9162, 2.1.1), oldest
-- first; never more than an envelope may have and one, whatever its count says.
SELECT first, count, line_1, payload_hash, life,
       ARRAY(SELECT sha256('\x00'::bytea || item.line) FROM item
              WHERE item.peer = envelope.peer AND item.direction = envelope.direction
                AND item.number BETWEEN envelope.first
                    AND least(envelope.first::numeric + envelope.count - 1,
                              9223372036854775807)::bigint
              ORDER BY item.number LIMIT 1001) AS leaves
  FROM envelope
 WHERE peer = $1 AND direction = $2
 ORDER BY first;

-- read_newest --
-- When this server last audited itself, and how much it found.
SELECT at, findings FROM newest_audit;

-- write_newest --
-- Remember when this server last audited itself, and how much it found.
INSERT INTO newest_audit (at, findings) VALUES ($1, $2)
    ON CONFLICT (single) DO UPDATE
   SET at = excluded.at, findings = excluded.findings;
