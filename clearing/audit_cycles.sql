-- settled_legs_are_booked --
-- Postings that a settled leg has not made, or others than it should have.
SELECT 'posting' AS place, leg_id || ', ' || account_id AS key,
       coalesce(booked.amount, 0)::text AS found,
       coalesce(expected.amount, 0)::text AS expected
  FROM (SELECT leg_id, side.account_id, side.amount
          FROM leg
         CROSS JOIN LATERAL (VALUES (debtor, milliseconds), (creditor, -milliseconds))
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

-- legs_were_decided --
-- Legs that have ended otherwise than the decision that they name says.
SELECT 'leg' AS place, leg_id::text AS key,
       coalesce('a line with hash ' || encode(sha256(decision.line), 'hex'),
                'no decision') AS found,
       'a line with hash ' || encode(sha256(convert_to(lawful.line, 'UTF8')), 'hex')
           AS expected
  FROM leg
  LEFT JOIN decision ON decision.log = leg.log AND decision.number = leg.number
 CROSS JOIN LATERAL (SELECT
       '{"type":"decision","log":"' || leg.log || '","number":' || leg.number
       || ',"kind":"settlement","at":"'
       || to_char(ended_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
       || '","id":"' || leg_id || '","cycle":' || cycle
       || ',"debtor":"' || debtor || '","creditor":"' || creditor
       || '","milliseconds":' || milliseconds
       || ',"paid":' || coalesce('"' || paid || '"', 'null')
       || ',"received":' || coalesce('"' || received || '"', 'null')
       || ',"outcome":"' || state
       || '","code":' || coalesce('"' || code || '"', 'null') || '}' AS line) AS lawful
 WHERE state <> 'open'
   AND decision.line IS DISTINCT FROM convert_to(lawful.line, 'UTF8')
 ORDER BY leg_id;

-- legs_were_told --
-- Legs of which a party was not told as they stand here.
SELECT 'leg' AS place, leg_id::text AS key, lawful.line AS found,
       'what ' || side.party || ' was told' AS expected
  FROM leg
 CROSS JOIN LATERAL (VALUES (debtor), (creditor)) AS side (party)
 CROSS JOIN LATERAL (SELECT
       '{"type":"settlement.leg","id":"' || leg_id || '","cycle":' || cycle || ',"at":"'
       || to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '","debtor":"' || debtor
       || '","creditor":"' || creditor || '","milliseconds":' || milliseconds || '}' AS line) AS lawful
 WHERE NOT EXISTS (SELECT FROM item
                    WHERE item.peer = side.party AND item.direction = 'out'
                      AND position('{"type":"settlement.leg"'::bytea IN item.line) = 1
                      AND item.line = convert_to(lawful.line, 'UTF8'))
 ORDER BY leg_id;

-- words_were_taken --
-- Words on legs that no item of the party's says, or that came at another moment; and
-- items that are said to have words of legs that have none.
SELECT 'leg' AS place, leg.leg_id::text AS key,
       side.said || ' ' || coalesce(side.hash, 'not') || ', item '
       || coalesce(word.item::text, 'none') || ' of ' || coalesce(word.party, 'nobody')
       || ', taken ' || coalesce(side.at::text, 'never') AS found,
       'what ' || side.party || ' has said, taken '
       || coalesce(taken.at::text, 'never') AS expected
  FROM leg
 CROSS JOIN LATERAL (VALUES ('paid', debtor, paid, paid_at),
                            ('received', creditor, received, received_at))
    AS side (said, party, hash, at)
 CROSS JOIN LATERAL (SELECT
       '{"type":"settlement.leg","id":"' || leg.leg_id || '","cycle":' || cycle
       || ',"at":"' || to_char(leg.at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
       || '","debtor":"' || debtor || '","creditor":"' || creditor
       || '","milliseconds":' || milliseconds || '}' AS line) AS told
  LEFT JOIN word ON word.leg_id = leg.leg_id AND word.said = side.said
  LEFT JOIN item ON item.peer = side.party AND item.direction = 'in'
                AND item.number = word.item
  LEFT JOIN LATERAL (SELECT envelope.at FROM envelope
                      WHERE envelope.peer = side.party AND envelope.direction = 'in'
                        AND envelope.first <= word.item
                      ORDER BY envelope.first DESC LIMIT 1) AS taken ON true
 WHERE (side.hash IS NULL) <> (word.item IS NULL)
    OR (side.hash IS NULL) <> (side.at IS NULL)
    OR side.hash IS NOT NULL
       AND NOT coalesce(
               word.party = side.party AND taken.at = side.at
               AND translate(encode(sha256(item.line), 'base64'), '+/=', '-_') = side.hash
               AND encode(item.line, 'escape')
                   ~ ('"type"[ \t]*:[ \t]*"settlement\.' || side.said || '"')
               AND position(convert_to('"' || translate(encode(
                       sha256(convert_to(told.line, 'UTF8')), 'base64'), '+/=', '-_')
                       || '"', 'UTF8') IN item.line) > 0, false)
UNION ALL
SELECT 'word', word.leg_id || ', ' || said, 'item ' || item || ' of ' || party,
       'a leg of this id'
  FROM word
 WHERE NOT EXISTS (SELECT FROM leg WHERE leg.leg_id = word.leg_id)
 ORDER BY key, found;

-- statements_were_answered --
-- Statements with another answer than the group's items give: its first agreement, else
-- its newest dispute.
SELECT 'statement' AS place, cycle || ', ' || group_name AS key,
       state || coalesce(', item ' || answer, '') || coalesce(', ' || answered_at, '')
       || coalesce(', disputed with ' || encode(sha256(dispute), 'hex'), '') AS found,
       coalesce('agreed, item ' || agreed.number || ', and', 'not agreed, and')
       || ' only such disputes as ' || group_name || ' has sent'
       || coalesce(', taken ' || taken.at, '') AS expected
  FROM statement
 CROSS JOIN LATERAL (SELECT
       translate(encode(sha256(line), 'base64'), '+/=', '-_') AS hash) AS own
  LEFT JOIN (SELECT peer, named, min(number) AS number
               FROM (SELECT peer, number,
                            substring(encode(line, 'escape')
                                      FROM '"cycle":([0-9]+),"statement":"[^"]*"')
                            || ' ' || substring(encode(line, 'escape')
                                                FROM '"statement":"([^"]*)"') AS named
                       FROM item
                      WHERE direction = 'in'
                        AND position('{"type":"cycle.agree"'::bytea IN line) = 1)
                 AS said
              GROUP BY peer, named)
         AS agreed ON agreed.peer = group_name AND agreed.named = cycle || ' ' || own.hash
  LEFT JOIN item AS answered ON answered.peer = group_name
                            AND answered.direction = 'in' AND answered.number = answer
  LEFT JOIN LATERAL (SELECT envelope.at FROM envelope
                      WHERE envelope.peer = group_name AND envelope.direction = 'in'
                        AND envelope.first <= answer
                      ORDER BY envelope.first DESC LIMIT 1) AS taken ON true
 WHERE (state = 'agreed') <> (agreed.number IS NOT NULL)
    OR answer IS NOT NULL AND answered_at IS DISTINCT FROM taken.at
    OR state = 'agreed' AND answer IS DISTINCT FROM agreed.number
    OR state = 'waiting' AND (answer IS NOT NULL OR dispute IS NOT NULL)
    OR state = 'disputed' AND answered.line IS DISTINCT FROM dispute
    OR dispute IS NOT NULL
       AND NOT EXISTS (SELECT FROM item AS said
                        WHERE said.peer = group_name AND said.direction = 'in'
                          AND position('{"type":"cycle.dispute"'::bytea IN said.line) = 1
                          AND position(convert_to(own.hash, 'UTF8') IN said.line) > 0
                          AND said.line = dispute)
 ORDER BY cycle, group_name;

-- cycles_were_decided --
-- Cycles that ended otherwise than the decision that they name says.
SELECT 'cycle' AS place, cycle::text AS key,
       coalesce('a line with hash ' || encode(sha256(decision.line), 'hex'),
                'no decision') AS found,
       'a line with hash ' || encode(sha256(convert_to(lawful.line, 'UTF8')), 'hex')
           AS expected
  FROM cycle
  LEFT JOIN decision ON decision.log = cycle.log AND decision.number = cycle.number
 CROSS JOIN LATERAL (SELECT
       '{"type":"decision","log":"' || cycle.log || '","number":' || cycle.number
       || ',"kind":"cycle","at":"' || to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
       || '","cycle":' || cycle || ',"former":'
       || coalesce('{"log":"' || former_log || '","number":' || former_number || '}',
                   'null')
       || ',"groups":' || groups || ',"statements":"' || statements
       || '","reserve":' || reserve || '}' AS line) AS lawful
 WHERE decision.line IS DISTINCT FROM convert_to(lawful.line, 'UTF8')
 ORDER BY cycle;

-- read_cycles --
-- All cycles that have ended.
SELECT cycle, groups, statements, reserve FROM cycle ORDER BY cycle;

-- read_recomputed --
-- The statements of a cycle beside what the postings themselves come to: what was there
-- before, and what was decided in it.
SELECT statement.group_name, statement.line,
       coalesce(sum(amount) FILTER (WHERE place <= first), 0)::bigint AS opening,
       coalesce(-sum(amount) FILTER (WHERE place > first AND amount < 0), 0)::bigint
           AS debits,
       coalesce(sum(amount) FILTER (WHERE place > first AND amount > 0), 0)::bigint
           AS credits,
       count(amount) FILTER (WHERE place > first) AS count
  FROM statement
  JOIN cycle USING (cycle)
 CROSS JOIN LATERAL (SELECT
       coalesce((SELECT sequence FROM decision
                  WHERE log = former_log AND number = former_number), 0) AS first,
       coalesce((SELECT sequence FROM decision
                  WHERE log = cycle.log AND number = cycle.number), 0) AS last) AS span
  LEFT JOIN (SELECT posting.account_id, posting.amount, decision.sequence AS place
               FROM posting JOIN entry USING (sequence)
               LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
               LEFT JOIN leg ON leg.leg_id = entry.entry_id
               LEFT JOIN shared ON shared.shared_id = entry.entry_id
               JOIN decision ON decision.log = coalesce(transfer.log, leg.log, shared.log)
                            AND decision.number = coalesce(transfer.number,
                                                           leg.number, shared.number))
         AS moved ON moved.account_id = statement.group_name AND moved.place <= last
 WHERE statement.cycle = $1
 GROUP BY statement.group_name, statement.line
 ORDER BY statement.group_name;
