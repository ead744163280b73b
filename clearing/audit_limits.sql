-- read_changes --
-- Every change of limits, caps and threshold, oldest first, with what its row says.
SELECT number, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
       about, group_name, payee_group, signed
  FROM limit_change
 ORDER BY number;

-- read_decided --
-- A decision.
SELECT line FROM decision WHERE log = $1 AND number = $2;

-- read_beyond --
-- Transfers with which a pair of groups passed the cap that they came under. They are
-- named by their offers' places in the payee's stream, and so are the first that a cap
-- bound ($4) and the first that it bound no more ($5). What was refused in the end is
-- left out, so that what is found was surely too much.
SELECT counted.transfer_id::text AS transfer_id,
       counted.used::text AS used, cap.milliseconds::text AS allowed
  FROM (SELECT transfer_id, payer_group, payee_group, item_number,
               sum(milliseconds) OVER (
                   PARTITION BY payer_group, payee_group,
                                date_trunc('month', taken_at AT TIME ZONE 'UTC')
                   ORDER BY item_number) AS used
          FROM transfer
          JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])
                    AS named (payer_group, payee_group)) AS pair
               USING (payer_group, payee_group)
         WHERE item_number IS NOT NULL AND state <> 'refused') AS counted
  JOIN unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS cap (payer_group, payee_group, milliseconds, first, behind)
       ON cap.payer_group = counted.payer_group
      AND cap.payee_group = counted.payee_group
      AND counted.item_number >= cap.first
      AND (cap.behind IS NULL OR counted.item_number < cap.behind)
 WHERE counted.used > cap.milliseconds
 ORDER BY counted.payer_group, counted.payee_group, counted.item_number;
