-- read_membership --
-- Which federation this node has joined.
SELECT federation, group_name, hub_url, statement, entry FROM membership;

-- insert_membership --
-- Remember that this node has joined; it can join only one federation.
INSERT INTO membership (federation, group_name, hub_url, statement, entry)
VALUES ($1, $2, $3, $4, $5);

-- insert_link --
-- Begin the link with the hub.
INSERT INTO link (peer, sent, sent_head, acknowledged, acknowledged_head,
                  taken, taken_head, lives)
VALUES ('hub', 0, $1, 0, $1, 0, $1, '{}')
    ON CONFLICT (peer) DO NOTHING;

-- read_newest --
-- The newest decision taken.
SELECT log, number FROM newest_decision;

-- write_newest --
-- Remember the newest decision taken.
INSERT INTO newest_decision (log, number) VALUES ($1, $2)
    ON CONFLICT (single) DO UPDATE SET log = excluded.log, number = excluded.number;

-- read_answers --
-- How orders under these callers and keys were answered.
SELECT caller, key, body_hash, transfer_id, code, at
  FROM idempotency
 WHERE (caller, key) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- insert_answers --
-- Remember for ever how orders were answered.
INSERT INTO idempotency (caller, key, body_hash, transfer_id, code, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[],
                     $6::timestamptz[]);

-- insert_members --
-- Keep who accounts belong to.
INSERT INTO member (account_id, name, since)
SELECT *, $3::timestamptz FROM unnest($1::text[], $2::text[]);

-- read_member --
-- A member's display name and account.
SELECT member.account_id, member.name, account.balance, account.held_out,
       account.held_in, account.floor, account.ceiling, account.frozen
  FROM member JOIN account USING (account_id)
 WHERE member.account_id = $1;

-- read_members --
-- All members, by account.
SELECT member.account_id, member.name, account.balance, account.held_out,
       account.held_in, account.floor, account.ceiling, account.frozen
  FROM member JOIN account USING (account_id)
 ORDER BY member.account_id;

-- read_group --
-- The group's own figures: the clearing account.
SELECT balance FROM account WHERE account_id = 'clearing';
