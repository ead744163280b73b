-- states_were_kept --
-- Cleared transfers that began while a group's state forbade it: frozen or left, or
-- leaving and not towards zero. $1, $2, $3, $4: groups, states, since and until when.
SELECT 'transfer' AS place, transfer_id::text AS key,
       span.state || ' ' || group_name || ' at ' || stood.at_best AS found,
       CASE span.state WHEN 'leaving' THEN 'towards zero, not past it'
            ELSE 'nothing begun' END AS expected
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    AS span (group_name, state, since, until)
  JOIN transfer ON group_name IN (payer_group, payee_group)
   AND transfer.state = 'cleared' AND taken_at > since AND taken_at < until
 CROSS JOIN LATERAL (
       SELECT CASE group_name WHEN payer_group THEN 1 ELSE -1 END AS sign) AS side
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(amount), 0) AS at_best
         FROM posting JOIN entry USING (sequence)
        WHERE account_id = group_name
          AND (entry.at < taken_at
               OR entry.at = taken_at AND sign(amount) = side.sign)) AS stood
 WHERE span.state <> 'leaving' OR stood.at_best * side.sign < milliseconds
 ORDER BY transfer_id;
