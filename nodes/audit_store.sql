-- cleared_transfers_are_booked --
-- Postings that a cleared transfer has not made, or others than it should have. What
-- is paid moves to the conversion account and back as time (protocol, section 8).
SELECT 'posting' AS place, transfer_id || ', ' || account_id AS key,
       coalesce(booked.amount, 0)::text AS found,
       coalesce(expected.amount, 0)::text AS expected
  FROM (SELECT transfer_id, side.account_id, side.amount
          FROM transfer
         CROSS JOIN LATERAL (
               SELECT CASE role WHEN 'payer' THEN payer_rate ELSE payee_rate END,
                      CASE role WHEN 'payer' THEN -1 ELSE 1 END)
            AS turned (version, sign)
         CROSS JOIN LATERAL (VALUES
               (account, sign * amount),
               ('conversion.' || version, -sign * amount),
               ('conversion.' || version || '.time', sign * milliseconds),
               ('clearing', -sign * milliseconds)) AS side (account_id, amount)
         WHERE state = 'cleared' AND payer_group <> payee_group) AS expected
  FULL JOIN (SELECT entry.transfer_id, posting.account_id, sum(posting.amount) AS amount
               FROM entry JOIN posting USING (sequence)
              WHERE entry.kind = 'transfer'
              GROUP BY entry.transfer_id, posting.account_id) AS booked
       USING (transfer_id, account_id)
 WHERE booked.amount IS DISTINCT FROM expected.amount
 ORDER BY transfer_id, account_id;

-- payments_inside_are_booked --
-- Payments inside the group without their one entry: out of one account, into another.
SELECT 'posting' AS place, transfer_id || ', ' || transfer.account AS key,
       'paid ' || coalesce(sum(posting.amount)
                           FILTER (WHERE posting.account_id = transfer.account), 0)
           || ' in ' || count(posting.amount) || ' postings' AS found,
       'paid ' || -transfer.amount || ' in 2 postings, to ' || transfer.other
           AS expected
  FROM transfer
  LEFT JOIN entry USING (transfer_id)
  LEFT JOIN posting USING (sequence)
 WHERE transfer.state = 'cleared' AND transfer.payer_group = transfer.payee_group
 GROUP BY transfer_id, transfer.account, transfer.other, transfer.amount
HAVING count(posting.amount) <> 2
    OR sum(posting.amount) FILTER (WHERE posting.account_id = transfer.account)
       IS DISTINCT FROM -transfer.amount
    OR sum(posting.amount) FILTER (WHERE posting.account_id = transfer.other)
       IS DISTINCT FROM transfer.amount
 ORDER BY transfer_id;

-- holds_are_what_was_asked --
-- Holds on other accounts than their transfer names, or of another amount.
SELECT 'hold' AS place, transfer_id::text AS key,
       hold.amount || ' from ' || debit_account || ' to ' || credit_account AS found,
       transfer.amount || ' from ' || asked.debit || ' to ' || asked.credit AS expected
  FROM hold JOIN transfer USING (transfer_id)
 CROSS JOIN LATERAL (
       SELECT CASE role WHEN 'payer' THEN account
                   ELSE 'conversion.' || payee_rate END,
              CASE role WHEN 'payer' THEN 'conversion.' || payer_rate
                   ELSE account END) AS asked (debit, credit)
 WHERE (debit_account, credit_account, hold.amount)
       IS DISTINCT FROM (asked.debit, asked.credit, transfer.amount)
 ORDER BY transfer_id;

-- transfers_gain_nothing --
-- Cleared transfers whose amount is not the one that their time comes to under the
-- group's rate: exactly for a payee, rounded up for a payer; $1, $2: the group's rates.
SELECT 'transfer' AS place, transfer_id::text AS key,
       amount || ' for ' || milliseconds || ' ms under rate ' || rate.version AS found,
       coalesce(ceil(milliseconds::numeric / rate.milliseconds_each)::text,
                'a rate of that version') AS expected
  FROM (SELECT transfer.*,
               CASE role WHEN 'payer' THEN payer_rate ELSE payee_rate END AS version
          FROM transfer
         WHERE state = 'cleared') AS cleared
  LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS rate (version, milliseconds_each)
       USING (version)
 WHERE rate.milliseconds_each IS NULL
    OR amount <> ceil(milliseconds::numeric / rate.milliseconds_each)
    OR role = 'payee' AND milliseconds <> amount::numeric * rate.milliseconds_each
 ORDER BY transfer_id;

-- conversions_are_worth_something --
-- Entries at which a conversion account fell below zero: what it has of the group's
-- unit, at its version's rate, and its time; $1, $2: the group's rates.
SELECT 'posting' AS place, 'conversion.' || version || ', ' || sequence AS key,
       worth || ' ms' AS found, '0 ms or more' AS expected
  FROM (SELECT version, sequence, change,
               sum(change) OVER (PARTITION BY version ORDER BY sequence
                                 ROWS UNBOUNDED PRECEDING) AS worth
          FROM (SELECT part.version, posting.sequence,
                       sum(posting.amount::numeric * part.milliseconds_each) AS change
                  FROM unnest($1::bigint[], $2::bigint[])
                    AS rate (version, milliseconds_each)
                 CROSS JOIN LATERAL (VALUES
                       ('conversion.' || version, version, milliseconds_each),
                       ('conversion.' || version || '.time', version, 1))
                    AS part (account_id, version, milliseconds_each)
                  JOIN posting ON posting.account_id = part.account_id
                 GROUP BY part.version, posting.sequence) AS changed) AS walked
 WHERE worth < 0 AND change < 0
 ORDER BY version, sequence;

-- conversions_have_their_rate --
-- Conversion accounts of a version that the group never announced; $1: its versions.
SELECT 'account' AS place, account_id AS key, account_id AS found,
       'a version of ' || array_to_string($1::bigint[], ', ') AS expected
  FROM account
 WHERE account_id LIKE 'conversion.%'
   AND account_id NOT IN (
       SELECT name
         FROM unnest($1::bigint[]) AS rate (version)
        CROSS JOIN LATERAL (VALUES
              ('conversion.' || version), ('conversion.' || version || '.time'))
           AS known (name))
 ORDER BY account_id;

-- directory_came_from_the_hub --
-- Directory decisions that no item of the hub's brought.
SELECT 'directory_change' AS place, sequence || ', ' || group_name AS key,
       'a line that never came' AS found, 'an item of the hub' AS expected
  FROM directory_change
 WHERE NOT EXISTS (
       SELECT FROM item
        WHERE item.peer = 'hub' AND item.direction = 'in'
          AND item.line = directory_change.line)
 ORDER BY sequence;

-- members_are_as_decided --
-- What members' accounts, and their names, say otherwise than the newest decision of a
-- treasurer about each.
SELECT place, account_id AS key, what || ' ' || coalesce(says, 'none') AS found,
       what || ' ' || coalesce(lawful, CASE WHEN decided.number IS NULL
                                            THEN 'undecided' ELSE 'none' END) AS expected
  FROM account
  FULL JOIN (SELECT DISTINCT ON (account_id) *
               FROM member_limit
              ORDER BY account_id, number DESC) AS decided USING (account_id)
  LEFT JOIN member USING (account_id)
 CROSS JOIN LATERAL (VALUES
       ('account', 'kind', account.kind, 'member'),
       ('account', 'unit', account.unit, 'unit'),
       ('account', 'floor', account.floor::text, decided.floor::text),
       ('account', 'ceiling', account.ceiling::text, decided.ceiling::text),
       ('account', 'frozen', account.frozen::text, decided.frozen::text),
       ('account', 'closed', account.closed::text, decided.closed::text),
       ('member', 'name', member.name, decided.name))
    AS said (place, what, says, lawful)
 WHERE (account.kind = 'member' OR decided.number IS NOT NULL)
   AND says IS DISTINCT FROM lawful
 ORDER BY account_id, place, what;

-- trust_follows_doubts --
-- Trust that follows no doubt about the same peer; beliefs of an era that no trust began,
-- or with a log missing before them; more compared than was ever taken.
SELECT 'trust' AS place, trust_id::text AS key, 'doubt ' || doubt_id AS found,
       'doubt ' || coalesce((SELECT max(doubt_id)::text FROM doubt
                              WHERE doubt.about = trust.about AND doubt.at <= trust.at),
                            'none') AS expected
  FROM trust
 WHERE NOT EXISTS (SELECT FROM doubt
                    WHERE doubt.about = trust.about AND doubt.doubt_id = trust.doubt_id)
 UNION ALL
SELECT 'belief', era || ', ' || log, 'era ' || era, 'an era from 0 to ' || begun.many
  FROM belief, (SELECT count(*) AS many FROM trust WHERE about = 'hub') AS begun
 WHERE NOT era BETWEEN 0 AND begun.many
 UNION ALL
SELECT 'belief', era || ', ' || log, 'place ' || place, 'place ' || following
  FROM (SELECT era, log, place,
               lag(place::numeric) OVER (PARTITION BY era ORDER BY place) + 1
                   AS following
          FROM belief) AS walked
 WHERE place <> following
 UNION ALL
SELECT 'compared_item', 'the one', 'item ' || number, 'at most item ' || taken.newest
  FROM compared_item,
       (SELECT coalesce(max(number), 0) AS newest
          FROM item WHERE peer = 'hub' AND direction = 'in') AS taken
 WHERE number > taken.newest OR number < 0
 ORDER BY place, key;

-- accepted_keys_have_their_act --
-- Keys that were accepted without the act that is noted with them, and the other way.
SELECT CASE WHEN accepted_id IS NULL THEN 'act' ELSE 'accepted_keys' END AS place,
       coalesce(accepted_id, number)::text AS key,
       CASE WHEN accepted_id IS NULL THEN 'keys of ' || group_name || ' accepted'
            ELSE 'by ' || author || ', keys of ' || group_name END AS found,
       CASE WHEN accepted_id IS NULL THEN 'keys that were accepted then'
            ELSE 'an act that says so' END AS expected
  FROM accepted_keys
  FULL JOIN (SELECT number, at, about AS group_name, author, reason
               FROM act WHERE deed = 'keys-accepted') AS noted
       USING (at, group_name, author, reason)
 WHERE accepted_id IS NULL OR number IS NULL
 ORDER BY place, key;

-- settled_legs_are_booked --
-- Postings that a settled leg has not made, or others than it should have: what we paid
-- leaves the clearing account, what we received comes to it. $1: our group.
SELECT 'posting' AS place, leg_id || ', ' || account_id AS key,
       coalesce(booked.amount, 0)::text AS found,
       coalesce(expected.amount, 0)::text AS expected
  FROM (SELECT leg_id, side.account_id, side.amount
          FROM leg
         CROSS JOIN LATERAL (
               SELECT CASE debtor WHEN $1 THEN -1 ELSE 1 END) AS turned (sign)
         CROSS JOIN LATERAL (VALUES
               ('clearing', sign * milliseconds), ('settlement', -sign * milliseconds))
            AS side (account_id, amount)
         WHERE state = 'settled') AS expected
  FULL JOIN (SELECT entry.entry_id AS leg_id, posting.account_id,
                    sum(posting.amount) AS amount
               FROM entry JOIN posting USING (sequence)
              WHERE entry.kind = 'settlement'
              GROUP BY entry.entry_id, posting.account_id) AS booked
       USING (leg_id, account_id)
 WHERE booked.amount IS DISTINCT FROM expected.amount
 ORDER BY leg_id, account_id;

-- shares_are_booked --
-- Postings that a sharing has not made, or others than it should have: what it adds to
-- our position leaves the clearing account.
SELECT 'posting' AS place, shared_id || ', ' || account_id AS key,
       coalesce(booked.amount, 0)::text AS found,
       coalesce(expected.amount, 0)::text AS expected
  FROM (SELECT shared_id, side.account_id, side.amount
          FROM shared
         CROSS JOIN (SELECT CASE WHEN EXISTS (
                            SELECT FROM account
                             WHERE account_id = 'shared' AND kind = 'member')
                       THEN '.shared' ELSE 'shared' END AS name) AS own
         CROSS JOIN LATERAL (VALUES ('clearing', -amount), (own.name, amount))
            AS side (account_id, amount)
         WHERE log IS NOT NULL AND side.amount <> 0) AS expected
  FULL JOIN (SELECT entry.entry_id AS shared_id, posting.account_id,
                    sum(posting.amount) AS amount
               FROM entry JOIN posting USING (sequence)
              WHERE entry.kind = 'shared'
              GROUP BY entry.entry_id, posting.account_id) AS booked
       USING (shared_id, account_id)
 WHERE booked.amount IS DISTINCT FROM expected.amount
 ORDER BY shared_id, account_id;

-- shares_came_from_the_hub --
-- Sharings that no item of the hub's told, or decided, as they stand here. $1: our group.
SELECT 'shared' AS place, shared_id::text AS key, 'a plan that never came' AS found,
       'the item of the hub that told of it' AS expected
  FROM shared
 WHERE shared.line IS NOT NULL
   AND NOT EXISTS (SELECT FROM item
                    WHERE item.peer = 'hub' AND item.direction = 'in'
                      AND item.number = shared.item AND item.line = shared.line)
 UNION ALL
SELECT 'shared', shared_id::text,
       shared.amount || ' by ' || coalesce(log || ', ' || shared.number, 'a plan'),
       coalesce(said.amount::text, 'what an item of the hub says')
  FROM shared
  LEFT JOIN (SELECT number, line,
                    substring(encode(line, 'escape') FROM '"id":"([^"]+)"') AS id
               FROM item
              WHERE peer = 'hub' AND direction = 'in'
                AND (position('{"type":"shared.plan"'::bytea IN line) = 1
                     OR position('{"type":"decision"'::bytea IN line) = 1
                        AND position(',"kind":"shared","at":"'::bytea IN line) > 0))
         AS item ON item.id = shared_id::text
   AND CASE WHEN log IS NULL THEN item.number = shared.item
       ELSE position(convert_to('{"type":"decision","log":"' || log || '","number":'
                || shared.number || ',"kind":"shared","at":"'
                || to_char(decided_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '","id":"'
                || shared_id || '","why":"' || why || '","cycle":', 'UTF8')
                IN item.line) = 1
       END
 CROSS JOIN LATERAL (
       SELECT CASE substring(encode(item.line, 'escape')
                             FROM '"cycle":[0-9]+,"group":"([^"]+)"')
              WHEN $1 THEN -sum(one[2]::numeric)
              ELSE coalesce(sum(one[2]::numeric) FILTER (WHERE one[1] = $1), 0)
              END AS amount
         FROM regexp_matches(encode(item.line, 'escape'),
                             '\{"group":"([^"]+)","measure":[^,]+,"limit":[^,]+,'
                             '"amount":(-?[0-9]{1,16})\}', 'g') AS one
        WHERE item.line IS NOT NULL) AS said
 WHERE item.line IS NULL OR shared.amount IS DISTINCT FROM said.amount
 ORDER BY place, key;

-- cycles_came_from_the_hub --
-- Cycles and legs that no item of the hub's brought as they stand here, or that are
-- signed without a word of ours.
SELECT 'cycle' AS place, cycle::text AS key,
       'a statement that never came' AS found, 'an item of the hub' AS expected
  FROM cycle
 WHERE line IS NOT NULL
   AND NOT EXISTS (SELECT FROM item
                    WHERE item.peer = 'hub' AND item.direction = 'in'
                      AND item.line = cycle.line)
 UNION ALL
SELECT 'leg', leg_id::text, 'item ' || item, 'the item of the hub that told of it'
  FROM leg
 WHERE NOT EXISTS (SELECT FROM item AS told
                    WHERE told.peer = 'hub' AND told.direction = 'in'
                      AND told.number = leg.item AND told.line = leg.line)
 UNION ALL
SELECT 'cycle', cycle::text, 'an end that was never told', 'a decision of the hub'
  FROM cycle
 WHERE NOT EXISTS (
       SELECT FROM item
        WHERE item.peer = 'hub' AND item.direction = 'in'
          AND position(convert_to('{"type":"decision","log":"' || cycle.log
              || '","number":' || cycle.number || ',"kind":"cycle","at":"'
              || to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '","cycle":' || cycle
              || ',"former":' || coalesce('{"log":"' || former_log || '","number":'
                                          || former_number || '}', 'null')
              || ',', 'UTF8') IN item.line) = 1)
 UNION ALL
SELECT 'leg', leg_id::text, convert_from(lawful.line, 'UTF8'), 'what the hub told of it'
  FROM leg
 CROSS JOIN LATERAL (SELECT convert_to(
       '{"type":"settlement.leg","id":"' || leg_id || '","cycle":' || cycle || ',"at":"'
       || to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '","debtor":"' || debtor
       || '","creditor":"' || creditor || '","milliseconds":' || milliseconds || '}',
       'UTF8') AS line) AS lawful
 WHERE leg.line <> lawful.line
 UNION ALL
SELECT 'leg', leg_id::text, 'signed', 'an item that says so'
  FROM leg
 WHERE signed_at IS NOT NULL
   AND NOT EXISTS (
       SELECT FROM item
        WHERE item.peer = 'hub' AND item.direction = 'out'
          AND position('{"type":"settlement.'::bytea IN item.line) = 1
          AND position(convert_to(translate(encode(sha256(leg.line), 'base64'),
                                            '+/=', '-_'), 'UTF8') IN item.line) > 0)
 ORDER BY place, key;

-- read_accepted --
-- All keys that people have accepted.
SELECT accepted_id, group_name, keys, digits FROM accepted_keys ORDER BY accepted_id;

-- count_proofs --
-- How many proofs are kept.
SELECT count(*) FROM proof;

-- read_proofs --
-- All proofs by the checkpoint that they lead to, and checkpoints that none leads to:
-- each with the item that it is of, and which decision its transfer says it had.
SELECT kept.log, kept.size, kept.note, kept.transfer_id::text AS id, kept.item,
       kept.path, item.line, transfer.log AS decided_log,
       transfer.number AS decided_number,
       to_char(decided_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS decided_at
  FROM (SELECT * FROM proof FULL JOIN proven_checkpoint USING (log, size)) AS kept
  LEFT JOIN item ON item.peer = 'hub' AND item.direction = 'in'
                AND item.number = kept.item
  LEFT JOIN transfer USING (transfer_id)
 ORDER BY kept.log, kept.size, kept.transfer_id;

-- read_beliefs --
-- All that was ever believed of the hub's logs.
SELECT era, log, size, root, note FROM belief ORDER BY era, place, log;

-- read_worths --
-- What each rate version's conversion accounts are worth, milliseconds; $1, $2: rates.
SELECT rate.version,
       coalesce(sum(posting.amount::numeric * part.milliseconds_each), 0)::text AS worth
  FROM unnest($1::bigint[], $2::bigint[]) AS rate (version, milliseconds_each)
 CROSS JOIN LATERAL (VALUES
       ('conversion.' || version, milliseconds_each),
       ('conversion.' || version || '.time', 1)) AS part (account_id, milliseconds_each)
  LEFT JOIN posting ON posting.account_id = part.account_id
 GROUP BY rate.version
 ORDER BY rate.version;
