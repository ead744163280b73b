-- shares_are_booked --
-- Postings that a sharing has not made, or others than its decision says.
SELECT 'posting' AS place, shared_id || ', ' || account_id AS key,
       coalesce(booked.amount, 0)::text AS found,
       coalesce(expected.amount, 0)::text AS expected
  FROM (SELECT shared_id, side.account_id, side.amount
          FROM shared
          JOIN decision USING (log, number)
         CROSS JOIN LATERAL (SELECT encode(decision.line, 'escape') AS line) AS said
         CROSS JOIN LATERAL (
               WITH part AS (
                    SELECT one[1] AS account_id, one[2]::numeric AS amount
                      FROM regexp_matches(
                           said.line,
                           '\{"group":"([^"]+)","measure":[^,]+,"limit":[^,]+,'
                           '"amount":(-?[0-9]{1,16})\}', 'g') AS one)
             SELECT account_id, amount FROM part
              UNION ALL
             SELECT substring(said.line FROM '"cycle":[0-9]+,"group":"([^"]+)"'),
                    -sum(amount) FROM part
              UNION ALL
             SELECT 'reserve',
                    substring(said.line FROM '"reserve":([0-9]{1,16})')::numeric)
            AS side
         WHERE side.account_id IS NOT NULL AND side.amount <> 0) AS expected
  FULL JOIN (SELECT entry.entry_id AS shared_id, posting.account_id,
                    sum(posting.amount) AS amount
               FROM entry JOIN posting USING (sequence)
              WHERE entry.kind = 'shared'
              GROUP BY entry.entry_id, posting.account_id) AS booked
       USING (shared_id, account_id)
 WHERE booked.amount IS DISTINCT FROM expected.amount
 ORDER BY shared_id, account_id;

-- shares_were_decided --
-- Sharings that are decided by no decision that says so, or that names another plan;
-- and decisions that share what is kept nowhere.
SELECT 'shared' AS place, shared_id::text AS key,
       why || ' by ' || shared.log || ', ' || shared.number
           || coalesce(', plan ' || plan.hash, '') AS found,
       coalesce('a line with hash ' || encode(sha256(decision.line), 'hex'),
                'no decision') AS expected
  FROM shared
 CROSS JOIN LATERAL (SELECT
       translate(encode(sha256(shared.line), 'base64'), '+/=', '-_') AS hash) AS plan
  LEFT JOIN decision ON decision.log = shared.log AND decision.number = shared.number
 WHERE state = 'decided'
   AND (position(convert_to('{"type":"decision","log":"' || shared.log || '","number":'
            || shared.number || ',"kind":"shared","at":"'
            || to_char(decided_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '","id":"'
            || shared_id || '","why":"' || why || '","cycle":', 'UTF8')
            IN decision.line) = 1
        AND position(convert_to(',"group":' || coalesce('"' || group_name || '"', 'null')
            || ',"rule":', 'UTF8') IN decision.line) > 0
        AND position(convert_to(',"plan":' || coalesce('"' || plan.hash || '"', 'null')
            || ',', 'UTF8') IN decision.line) > 0) IS NOT TRUE
 UNION ALL
SELECT 'decision', log || ', ' || number, 'shares something', 'what is kept of it'
  FROM decision
 WHERE position('{"type":"decision"'::bytea IN line) = 1
   AND position(',"kind":"shared","at":"'::bytea IN line) > 0
   AND NOT EXISTS (SELECT FROM shared
                    WHERE shared.log = decision.log AND shared.number = decision.number)
 ORDER BY place, key;

-- shares_were_told --
-- Groups that a plan or a decision names and that were not told of it as it stands here.
SELECT 'shared' AS place, shared_id || ', ' || party AS key, what AS found,
       what || ' that ' || party || ' was told' AS expected
  FROM (SELECT shared_id, 'a plan' AS what, shared.line FROM shared
         WHERE shared.line IS NOT NULL
         UNION ALL
        SELECT shared_id, 'a decision', decision.line
          FROM shared JOIN decision USING (log, number)) AS told
 CROSS JOIN LATERAL (
       SELECT DISTINCT one[1] AS party
         FROM regexp_matches(encode(told.line, 'escape'), '"group":"([^"]+)"', 'g')
           AS one) AS named
 WHERE NOT EXISTS (SELECT FROM item
                    WHERE item.peer = party AND item.direction = 'out'
                      AND item.line = told.line)
 ORDER BY shared_id, party, what;
