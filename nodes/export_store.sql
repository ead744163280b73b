-- export_members --
-- Members with what stands on their accounts, by account; amounts are minor units.
SELECT member.account_id AS account, member.name, account.balance, account.held_out,
       account.held_in, account.floor, account.ceiling,
       CASE WHEN account.closed THEN 'closed'
            WHEN account.frozen THEN 'frozen'
            ELSE 'active' END AS state,
       member.found_by,
       to_char(member.since, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS since
  FROM member
  JOIN account USING (account_id)
 ORDER BY member.account_id;

-- export_entries --
-- Every posting of every entry, oldest first; a unit is minor units or milliseconds.
SELECT entry.sequence AS number, entry.entry_id::text AS entry,
       to_char(entry.at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, entry.kind,
       posting.account_id AS account, posting.amount, posting.balance_after,
       CASE account.unit WHEN 'time' THEN 'milliseconds' ELSE 'unit' END AS counted_in,
       entry.transfer_id::text AS transfer, told ->> 'payer' AS payer,
       transfer.payer_group, told ->> 'payee' AS payee, transfer.payee_group,
       told ->> 'memo' AS memo, coalesce(person.sign_in_name, entry.author) AS author,
       entry.reason, entry.corrects::text AS corrects
  FROM entry
  JOIN posting USING (sequence)
  JOIN account USING (account_id)
  LEFT JOIN transfer ON transfer.transfer_id = entry.transfer_id
  LEFT JOIN content ON content.content_id = entry.content_id
  LEFT JOIN LATERAL (SELECT convert_from(content.line, 'UTF8')::json AS told) AS read
         ON true
  LEFT JOIN person ON person.person_id::text = entry.author
 ORDER BY entry.sequence, posting.account_id;

-- export_transfers --
-- Every payment of a member, here or with another group, by when we knew of it.
SELECT transfer.transfer_id::text AS transfer, transfer.role, transfer.state,
       told ->> 'payer' AS payer, transfer.payer_group, told ->> 'payee' AS payee,
       transfer.payee_group, transfer.account, transfer.amount, transfer.milliseconds,
       transfer.payer_rate, transfer.payee_rate, told ->> 'memo' AS memo,
       transfer.deliver, transfer.code, transfer.refund_of::text AS refund_of,
       transfer.refunded, coalesce(person.sign_in_name, transfer.author) AS author,
       to_char(transfer.taken_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS taken_at,
       to_char(transfer.decide_by, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS decide_by,
       to_char(transfer.decided_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS decided_at,
       transfer.log, transfer.number
  FROM transfer
  LEFT JOIN content ON content.content_id = transfer.content
  LEFT JOIN LATERAL (SELECT convert_from(content.line, 'UTF8')::json AS told) AS read
         ON true
  LEFT JOIN person ON person.person_id::text = transfer.author
 ORDER BY transfer.taken_at, transfer.transfer_id;

-- export_limits --
-- All that was ever decided about members, oldest first.
SELECT number, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
       member_limit.account_id AS account, name, floor, ceiling, frozen, closed,
       coalesce(person.sign_in_name, author) AS author, reason
  FROM member_limit
  LEFT JOIN person ON person.person_id::text = author
 ORDER BY number;

-- export_acts --
-- All that those who run the group ever did, oldest first.
SELECT number, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
       coalesce(person.sign_in_name, author) AS author, deed, about, details, reason
  FROM act
  LEFT JOIN person ON person.person_id::text = author
 ORDER BY number;

-- export_units --
-- What the group counted in and what that was worth, each from when the hub decided
-- it, oldest first; changes of keys and limits alone are none. ``milliseconds`` is of
-- one minor unit.
WITH decided AS (
    SELECT sequence, convert_from(line, 'UTF8')::json AS line
      FROM directory_change
      JOIN membership USING (group_name)
), signed AS (
    SELECT sequence, line ->> 'at' AS at,
           translate(split_part(line ->> 'entry', '.', 2), '-_', '+/') AS payload
      FROM decided
), entry AS (
    SELECT sequence, at,
           convert_from(decode(rpad(payload, (length(payload) + 3) / 4 * 4, '='),
                               'base64'), 'UTF8')::json AS told
      FROM signed
), version AS (
    SELECT sequence, at, (told ->> 'version')::bigint AS version, told ->> 'name' AS name,
           told -> 'unit' ->> 'name' AS unit, told -> 'unit' ->> 'plural' AS plural,
           told -> 'unit' ->> 'symbol' AS symbol,
           (told -> 'unit' ->> 'decimals')::integer AS decimals,
           (told -> 'rates' -> -1 ->> 'version')::bigint AS rate_version,
           (told -> 'rates' -> -1 ->> 'milliseconds')::bigint AS milliseconds
      FROM entry
), beside AS (
    SELECT *, (name, unit, plural, symbol, milliseconds) IS NOT DISTINCT FROM
              (lag(name) OVER past, lag(unit) OVER past, lag(plural) OVER past,
               lag(symbol) OVER past, lag(milliseconds) OVER past) AS is_same
      FROM version
    WINDOW past AS (ORDER BY sequence)
)
SELECT version, at AS since, name, unit, plural, symbol, decimals, rate_version,
       milliseconds
  FROM beside
 WHERE NOT is_same
 ORDER BY sequence;
