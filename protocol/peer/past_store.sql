-- read_balances --
-- What accounts came to at some times, by the order of those; null where nothing had
-- moved them yet. An entry's number tells its time: the newest entry of a time is found
-- by halving, so that no index on times is kept up with every payment.
WITH RECURSIVE search (place, at, low, high) AS (
    SELECT mark.place, mark.at, 0::bigint,
           (SELECT coalesce(max(sequence), 0) FROM entry)
      FROM unnest($1::timestamptz[]) WITH ORDINALITY AS mark (at, place)
    UNION ALL
    SELECT search.place, search.at,
           CASE WHEN middle.at <= search.at THEN middle.sequence ELSE search.low END,
           CASE WHEN middle.at <= search.at THEN search.high
                ELSE middle.sequence - 1 END
      FROM search
      JOIN entry AS middle ON middle.sequence = (search.low + search.high + 1) / 2
     WHERE search.low < search.high
)
SELECT account.account_id, search.place,
       (SELECT posting.balance_after FROM posting
         WHERE posting.account_id = account.account_id
           AND posting.sequence <= search.low
         ORDER BY posting.account_id DESC, posting.sequence DESC
         LIMIT 1) AS balance
  FROM account CROSS JOIN search
 WHERE account.account_id = ANY($2::text[]) AND search.low = search.high
 ORDER BY account.account_id, search.place;

-- read_newest_at --
-- When the newest entry was booked.
SELECT at FROM entry ORDER BY sequence DESC LIMIT 1;

-- read_place --
-- The newest entry that was booked before a time, found by halving; 0: none was.
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, (SELECT coalesce(max(sequence), 0) FROM entry)
    UNION ALL
    SELECT CASE WHEN middle.at < $1::timestamptz THEN middle.sequence
                ELSE search.low END,
           CASE WHEN middle.at < $1::timestamptz THEN search.high
                ELSE middle.sequence - 1 END
      FROM search
      JOIN entry AS middle ON middle.sequence = (search.low + search.high + 1) / 2
     WHERE search.low < search.high
)
SELECT low FROM search WHERE low = high;
