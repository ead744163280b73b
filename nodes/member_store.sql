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
SELECT caller, key, body_hash, transfer_id, code, at, entry_id, account_id
  FROM idempotency
 WHERE (caller, key) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- insert_answers --
-- Remember for ever how orders were answered.
INSERT INTO idempotency (caller, key, body_hash, transfer_id, code, at, entry_id,
                         account_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[],
                     $6::timestamptz[], $7::uuid[], $8::text[]);

-- write_members --
-- Keep who accounts belong to, and by which name.
INSERT INTO member (account_id, name, since)
SELECT *, $3::timestamptz FROM unnest($1::text[], $2::text[])
    ON CONFLICT (account_id) DO UPDATE SET name = excluded.name;

-- insert_changes --
-- Keep for ever what was decided about members, in order.
INSERT INTO member_limit (account_id, author, name, floor, ceiling, frozen, closed, at,
                          reason)
SELECT account_id, author, name, floor, ceiling, frozen, closed, $8::timestamptz,
       reason
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
              $6::boolean[], $7::boolean[], $9::text[]) WITH ORDINALITY
    AS new (account_id, author, name, floor, ceiling, frozen, closed, reason, place)
 ORDER BY place;

-- read_changes --
-- What was decided about a member, newest first, and by whom.
SELECT number, at, coalesce(person.sign_in_name, author) AS author, name, floor,
       ceiling, frozen, closed, reason
  FROM member_limit
  LEFT JOIN person ON person.person_id::text = author
 WHERE member_limit.account_id = $1 AND number < $2
 ORDER BY number DESC
 LIMIT $3;

-- read_names --
-- Display names of members.
SELECT account_id, name FROM member WHERE account_id = ANY($1::text[]);

-- read_member --
-- A member's display name and account.
SELECT member.account_id, member.name, member.since, account.balance,
       account.held_out, account.held_in, account.floor, account.ceiling,
       account.frozen, account.closed
  FROM member JOIN account USING (account_id)
 WHERE member.account_id = $1;

-- read_members --
-- Members behind a name, by account.
SELECT member.account_id, member.name, member.since, account.balance,
       account.held_out, account.held_in, account.floor, account.ceiling,
       account.frozen, account.closed
  FROM member JOIN account USING (account_id)
 WHERE member.account_id > $1
 ORDER BY member.account_id
 LIMIT $2;

-- read_named --
-- Members of these accounts, by account.
SELECT member.account_id, member.name, member.since, account.balance,
       account.held_out, account.held_in, account.floor, account.ceiling,
       account.frozen, account.closed
  FROM member JOIN account USING (account_id)
 WHERE member.account_id = ANY($1::text[])
 ORDER BY member.account_id;

-- read_group --
-- The group's own figures: the clearing account.
SELECT balance FROM account WHERE account_id = 'clearing';
