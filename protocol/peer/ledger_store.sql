-- read_accounts --
-- The accounts of a batch: named, held by its transfers, or the server's own.
SELECT account_id, kind, unit, balance, held_out, held_in, floor, ceiling, frozen,
       closed
  FROM account
 WHERE account_id = ANY($1::text[])
UNION
SELECT account_id, kind, unit, balance, held_out, held_in, floor, ceiling, frozen,
       closed
  FROM account
 WHERE kind = 'system';

-- read_holds --
-- The holds of a batch's transfers.
SELECT transfer_id, debit_account, credit_account, amount, state
  FROM hold
 WHERE transfer_id = ANY($1::uuid[]);

-- read_sequence --
-- The number of the newest entry.
SELECT coalesce(max(sequence), 0) FROM entry;

-- insert_accounts --
-- Open accounts, with what the same batch has already booked on them.
INSERT INTO account (account_id, kind, unit, balance, held_out, held_in,
                     floor, ceiling, frozen, closed)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
                     $6::bigint[], $7::bigint[], $8::bigint[], $9::boolean[],
                     $10::boolean[]);

-- update_accounts --
-- Set accounts to what they are after the batch; the clerk is the only writer.
UPDATE account
   SET balance = new.balance, held_out = new.held_out, held_in = new.held_in,
       floor = new.floor, ceiling = new.ceiling, frozen = new.frozen,
       closed = new.closed
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
              $6::bigint[], $7::boolean[], $8::boolean[])
    AS new (account_id, balance, held_out, held_in, floor, ceiling, frozen, closed)
 WHERE account.account_id = new.account_id;

-- insert_holds --
-- Place holds; one that the batch also ended is written as it ended.
INSERT INTO hold (transfer_id, debit_account, credit_account, amount, state)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[]);

-- end_holds --
-- Post or void holds, each only once.
UPDATE hold
   SET state = new.state
  FROM unnest($1::uuid[], $2::text[]) AS new (transfer_id, state)
 WHERE hold.transfer_id = new.transfer_id AND hold.state = 'held';

-- insert_entries --
-- Book entries.
INSERT INTO entry (sequence, entry_id, at, kind, transfer_id, author, reason,
                   content_id, corrects)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::text[],
                     $5::uuid[], $6::text[], $7::text[], $8::text[], $9::uuid[]);

-- insert_postings --
-- Book the postings of a batch's entries, all in one statement.
INSERT INTO posting (account_id, sequence, amount, balance_after)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]);

-- read_page --
-- An account's postings before a place, newest first, with what they belong to.
SELECT posting.sequence, posting.amount, posting.balance_after, entry.entry_id,
       entry.at, entry.kind, entry.transfer_id, entry.author, entry.reason,
       entry.corrects, correction.entry_id AS corrected_by, content.line,
       transfer.payer_group, transfer.payee_group, transfer.refund_of
  FROM posting
  JOIN entry USING (sequence)
  LEFT JOIN entry AS correction ON correction.corrects = entry.entry_id
  LEFT JOIN content ON content.content_id = entry.content_id
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
 WHERE posting.account_id = $1 AND posting.sequence < $2
   AND ($4::timestamptz IS NULL OR entry.at >= $4)
   AND ($5::timestamptz IS NULL OR entry.at < $5)
   AND ($6::text IS NULL
        OR strpos(lower(entry.reason), lower($6)) > 0
        OR EXISTS (
               SELECT FROM json_each_text(convert_from(content.line, 'UTF8')::json)
                WHERE key IN ('payer', 'payee', 'name', 'memo')
                  AND strpos(lower(value), lower($6)) > 0))
 ORDER BY posting.account_id DESC, posting.sequence DESC
 LIMIT $3;

-- read_booked_at --
-- When an entry was booked.
SELECT at FROM entry WHERE entry_id = $1;

-- read_after --
-- An account's postings after a place, oldest first, with what they belong to.
SELECT posting.sequence, posting.amount, posting.balance_after, entry.entry_id,
       entry.at, entry.kind, entry.transfer_id, entry.author, entry.reason,
       entry.corrects, correction.entry_id AS corrected_by, content.line,
       transfer.payer_group, transfer.payee_group, transfer.refund_of
  FROM posting
  JOIN entry USING (sequence)
  LEFT JOIN entry AS correction ON correction.corrects = entry.entry_id
  LEFT JOIN content ON content.content_id = entry.content_id
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
 WHERE posting.account_id = $1 AND posting.sequence > $2
 ORDER BY posting.account_id, posting.sequence
 LIMIT $3;

-- read_sums --
-- What all balances sum to, by unit: zero on every ledger.
SELECT unit, coalesce(sum(balance), 0)::bigint AS total FROM account GROUP BY unit;

-- read_corrected --
-- Which of these entries have been corrected.
SELECT corrects FROM entry WHERE corrects = ANY($1::uuid[]);

-- read_place --
-- The sequence of an entry.
SELECT sequence FROM entry WHERE entry_id = $1;

-- read_entries --
-- Entries before a place, newest first, with what they belong to.
SELECT entry.sequence, entry.entry_id, entry.at, entry.kind, entry.transfer_id,
       entry.author, person.sign_in_name, entry.reason, entry.corrects,
       entry.content_id,
       correction.entry_id AS corrected_by, content.line,
       transfer.payer_group, transfer.payee_group
  FROM entry
  LEFT JOIN entry AS correction ON correction.corrects = entry.entry_id
  LEFT JOIN content ON content.content_id = entry.content_id
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
  LEFT JOIN person ON person.person_id::text = entry.author
 WHERE entry.sequence < $1
   AND ($3::timestamptz IS NULL OR entry.at >= $3)
   AND ($4::timestamptz IS NULL OR entry.at < $4)
   AND ($5::text IS NULL
        OR strpos(lower(entry.reason), lower($5)) > 0
        OR EXISTS (
               SELECT FROM posting
                WHERE posting.sequence = entry.sequence
                  AND strpos(posting.account_id, lower($5)) > 0)
        OR EXISTS (
               SELECT FROM json_each_text(convert_from(content.line, 'UTF8')::json)
                WHERE key IN ('payer', 'payee', 'name', 'memo')
                  AND strpos(lower(value), lower($5)) > 0))
 ORDER BY entry.sequence DESC
 LIMIT $2;

-- read_postings --
-- The postings of entries, by account, with the unit of each.
SELECT sequence, account_id, amount, balance_after, account.unit
  FROM posting JOIN account USING (account_id)
 WHERE sequence = ANY($1::bigint[])
 ORDER BY sequence, account_id;
