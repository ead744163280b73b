-- cleared_transfers_are_booked --
-- Postings that a cleared transfer has not made, or others than it should have.
SELECT 'posting' AS place, transfer_id || ', ' || account_id AS key,
       coalesce(booked.amount, 0)::text AS found,
       coalesce(expected.amount, 0)::text AS expected
  FROM (SELECT transfer_id, side.account_id, side.amount
          FROM transfer
         CROSS JOIN LATERAL (VALUES
               (payer_group, -milliseconds), (payee_group, milliseconds))
            AS side (account_id, amount)
         WHERE state = 'cleared') AS expected
  FULL JOIN (SELECT entry.transfer_id, posting.account_id, sum(posting.amount) AS amount
               FROM entry JOIN posting USING (sequence)
              WHERE entry.kind = 'transfer'
              GROUP BY entry.transfer_id, posting.account_id) AS booked
       USING (transfer_id, account_id)
 WHERE booked.amount IS DISTINCT FROM expected.amount
 ORDER BY transfer_id, account_id;

-- holds_are_what_was_asked --
-- Holds on other groups than their transfer names, or of another amount.
SELECT 'hold' AS place, transfer_id::text AS key,
       hold.amount || ' from ' || debit_account || ' to ' || credit_account AS found,
       milliseconds || ' from ' || payer_group || ' to ' || payee_group AS expected
  FROM hold JOIN transfer USING (transfer_id)
 WHERE (debit_account, credit_account, hold.amount)
       IS DISTINCT FROM (payer_group, payee_group, milliseconds)
 ORDER BY transfer_id;

-- decisions_have_no_gaps --
-- Decisions before which one is missing, in all or in their log.
SELECT 'decision' AS place, log || ', ' || number AS key,
       'decision ' || sequence || ', leaf ' || number AS found,
       'decision ' || next_of_all || ', leaf ' || next_of_log AS expected
  FROM (SELECT log, number, sequence,
               lag(sequence::numeric, 1, 0) OVER (ORDER BY sequence) + 1 AS next_of_all,
               lag(number::numeric, 1, -1) OVER (PARTITION BY log ORDER BY sequence) + 1
                   AS next_of_log
          FROM decision) AS walked
 WHERE sequence <> next_of_all OR number <> next_of_log
 ORDER BY sequence;

-- transfers_have_decisions --
-- Transfers that are cleared or refused by no decision, or decided and not so.
SELECT 'transfer' AS place, transfer_id::text AS key,
       state || coalesce(' by ' || transfer.log || ', ' || transfer.number, ', undecided')
           AS found,
       CASE WHEN transfer.log IS NULL THEN 'a decision'
            WHEN decision.sequence IS NULL THEN 'a decision by that name'
            ELSE 'cleared or refused' END AS expected
  FROM transfer
  LEFT JOIN decision ON decision.log = transfer.log
                    AND decision.number = transfer.number
 WHERE (state IN ('cleared', 'refused')) <> (decision.sequence IS NOT NULL)
    OR transfer.log IS NOT NULL AND decision.sequence IS NULL
 ORDER BY transfer_id;

-- mirrors_are_positions --
-- Nodes whose clearing balance is not minus the position that their group had just
-- after the decision that they name; from postings alone, whatever the balances say.
SELECT 'mirror' AS place, group_name AS key,
       mirror.balance || ' at ' || mirror.log || ', ' || mirror.number AS found,
       CASE WHEN named.sequence IS NULL THEN 'a decision by that name'
            ELSE (-coalesce(sum(booked.amount), 0))::text END AS expected
  FROM mirror
  LEFT JOIN decision AS named ON named.log = mirror.log
                             AND named.number = mirror.number
  LEFT JOIN (SELECT posting.account_id, posting.amount, decision.sequence
               FROM posting JOIN entry USING (sequence)
               LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
               LEFT JOIN leg ON leg.leg_id = entry.entry_id
               LEFT JOIN shared ON shared.shared_id = entry.entry_id
               JOIN decision ON decision.log = coalesce(transfer.log, leg.log, shared.log)
                            AND decision.number = coalesce(transfer.number,
                                                           leg.number, shared.number))
         AS booked
         ON booked.account_id = mirror.group_name
        AND booked.sequence <= named.sequence
 GROUP BY group_name, mirror.balance, mirror.log, mirror.number, named.sequence
HAVING named.sequence IS NULL
    OR mirror.balance <> -coalesce(sum(booked.amount), 0)
 ORDER BY group_name;

-- directory_was_decided --
-- Directory changes that are not decisions of the log.
SELECT 'directory_change' AS place, sequence || ', ' || group_name AS key,
       'a line that was never decided' AS found, 'a decision' AS expected
  FROM directory_change
 WHERE NOT EXISTS (
       SELECT FROM decision WHERE decision.line = directory_change.line)
 ORDER BY sequence;

-- transfers_number_their_items --
-- Transfers that name an offer though nothing was ever held for them, or none though it
-- was; and answers to the payer's node that are named by what is not cleared, or the
-- other way round. In a log of before there were checkpoints no answer was numbered.
SELECT 'transfer' AS place, transfer_id::text AS key,
       what || ' ' || coalesce(says::text, 'none') AS found,
       what || ' ' || CASE WHEN is_due THEN 'of an item' ELSE 'none' END AS expected
  FROM transfer LEFT JOIN hold USING (transfer_id)
 CROSS JOIN LATERAL (VALUES
       ('item_number', item_number, hold.transfer_id IS NOT NULL),
       ('answer_number', answer_number,
        transfer.state = 'cleared'
        AND (answer_number IS NOT NULL
             OR transfer.log IN (SELECT checkpoint.log FROM checkpoint))))
    AS said (what, says, is_due)
 WHERE (says IS NOT NULL) <> is_due
 ORDER BY transfer_id, what;

-- read_offered --
-- Transfers that were offered, each with the item that it names as its offer.
SELECT transfer_id::text, payer_group, payee_group, milliseconds, payer_rate,
       payee_rate, to_char(decide_by, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
       refund_of::text, content, prepare, item_number, item.line
  FROM transfer
  LEFT JOIN item ON item.peer = payee_group AND item.direction = 'out'
                AND item.number = item_number
 WHERE item_number IS NOT NULL
 ORDER BY payee_group, item_number;

-- read_unoffered --
-- Transfers that were refused before an offer, or wait, each with the line that came
-- under the name that it gives its prepare; one that answered an unknown id has none.
SELECT transfer_id::text, payer_group, payee_group, milliseconds, payer_rate,
       payee_rate, to_char(decide_by, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
       refund_of::text, content, transfer.prepare, item_number, asked.line
  FROM transfer
  LEFT JOIN (SELECT DISTINCT peer, line,
                    translate(encode(sha256(line), 'base64'), '+/=', '-_') AS prepare
               FROM item
              WHERE direction = 'in'
                AND position('"transfer.prepare"'::bytea IN line) > 0) AS asked
         ON asked.peer = payer_group AND asked.prepare = transfer.prepare
 WHERE item_number IS NULL
 ORDER BY transfer_id;

-- read_answered --
-- Transfers that were answered, each with the item that it names as the answer which
-- the payer's node was sent.
SELECT transfer_id::text, prepare, answer, answer_number, item.line
  FROM transfer
  LEFT JOIN item ON item.peer = payer_group AND item.direction = 'out'
                AND item.number = answer_number
 WHERE answer_number IS NOT NULL
 ORDER BY payer_group, answer_number;

-- read_many --
-- How many transfers there are.
SELECT count(*) FROM transfer;

-- groups_are_as_decided --
-- What groups' accounts say otherwise than the newest directory decision about each; a
-- freeze stands in the directory alone. $1, $2, $3: groups, floors, ceilings.
SELECT 'account' AS place, account_id AS key,
       what || ' ' || coalesce(says, 'none') AS found,
       what || ' ' || coalesce(lawful, 'undecided') AS expected
  FROM account
  FULL JOIN unnest($1::text[], $2::bigint[], $3::bigint[])
    AS decided (account_id, floor, ceiling) USING (account_id)
 CROSS JOIN LATERAL (VALUES
       ('kind', account.kind, 'group'),
       ('unit', account.unit, 'time'),
       ('floor', account.floor::text, decided.floor::text),
       ('ceiling', account.ceiling::text, decided.ceiling::text),
       ('frozen', account.frozen::text, 'false'),
       ('closed', account.closed::text, 'false')) AS said (what, says, lawful)
 WHERE (account.kind = 'group' OR decided.floor IS NOT NULL)
   AND says IS DISTINCT FROM lawful
 ORDER BY account_id, what;

-- logs_are_stated_to_their_ends --
-- Logs whose end has no checkpoint; checkpoints and tile hashes of sizes that no log has.
-- A log of before there were checkpoints has none, as the next log's first leaf says.
WITH ending AS (SELECT log, count(*) AS many, max(sequence) + 1 AS next
                  FROM decision GROUP BY log)
SELECT 'checkpoint' AS place, log || ', ' || many AS key,
       'no checkpoint' AS found, 'one at the end of each log' AS expected
  FROM ending
 WHERE NOT EXISTS (SELECT FROM checkpoint
                    WHERE checkpoint.log = ending.log AND size = many)
   AND (EXISTS (SELECT FROM checkpoint WHERE checkpoint.log = ending.log)
        OR NOT EXISTS (
           SELECT FROM decision
            WHERE sequence = next AND number = 0
              AND position('"former":null'::bytea IN line) > 0))
 UNION ALL
SELECT 'checkpoint', log || ', ' || size, 'size ' || size,
       'a size from 1 to ' || coalesce(many, 0)
  FROM checkpoint LEFT JOIN ending USING (log)
 WHERE NOT size BETWEEN 1 AND coalesce(many, 0)
 UNION ALL
SELECT 'tile_hash', log || ', ' || level || ', ' || index, 'a hash of what is not there',
       'level 1 or more, of a log of ' || coalesce(many, 0)
  FROM tile_hash LEFT JOIN ending USING (log)
 WHERE level < 1 OR index < 0
    OR (index::numeric + 1) * 256::numeric ^ least(greatest(level, 0), 8)
       > coalesce(many, 0)
 ORDER BY place, key;

-- read_decisions --
-- The decisions, in order, that do not say in our own spelling what their transfer says
-- of itself: each with the transfer that says it was decided by it, and how many entries
-- that has. Nearly all do, and are not worth another reader.
SELECT decision.sequence, decision.log, decision.number, decision.line,
       transfer.transfer_id::text AS id, transfer.state, transfer.prepare,
       transfer.answer, transfer.code, coalesce(booked.many, 0) AS entries,
       to_char(decided_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS decided_at
  FROM decision
  LEFT JOIN transfer ON transfer.log = decision.log
                    AND transfer.number = decision.number
  LEFT JOIN (SELECT transfer_id, count(*) AS many
               FROM entry WHERE kind = 'transfer' GROUP BY transfer_id) AS booked
         ON booked.transfer_id = transfer.transfer_id
 WHERE coalesce(booked.many, 0) <> CASE state WHEN 'cleared' THEN 1 ELSE 0 END
    OR decision.line IS DISTINCT FROM convert_to(
       '{"type":"decision","log":"' || decision.log
           || '","number":' || decision.number || ',"kind":"transfer","at":"'
           || to_char(decided_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
           || '","id":"' || transfer.transfer_id
           || '","prepare":' || coalesce('"' || nullif(prepare, '') || '"', 'null')
           || ',"answer":' || coalesce('"' || answer || '"', 'null')
           || ',"outcome":"' || state
           || '","code":' || coalesce('"' || code || '"', 'null') || '}', 'UTF8')
 ORDER BY decision.sequence;

-- read_size --
-- How many decisions there are.
SELECT count(*) FROM decision;

-- read_leaves --
-- Leaf hashes of decisions after a place in the order of all logs (RFC 9162, 2.1.1), with
-- the lines of those that begin a log or change the directory.
SELECT log, number, sha256('\x00'::bytea || line) AS leaf,
       CASE WHEN number = 0 OR position('"kind":"transfer"'::bytea IN line) = 0
            THEN line END AS line
  FROM decision
 WHERE sequence > $1
 ORDER BY sequence
 LIMIT $2;

-- read_notes --
-- A log's signed checkpoints of these sizes.
SELECT size, root, note FROM checkpoint
 WHERE log = $1 AND size > $2 AND size <= $3;

-- read_hashes --
-- What a log's tiles above level 0 got when it reached these sizes.
SELECT level, index, hash, size::bigint
  FROM (SELECT level, index, hash,
               -- Bounded, for whatever a row that was altered may say.
               (index::numeric + 1) * 256::numeric ^ least(greatest(level, 0), 8) AS size
          FROM tile_hash
         WHERE log = $1) AS reached
 WHERE size > $2 AND size <= $3;
