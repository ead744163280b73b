-- read_by_account --
-- A member who may be found by her address; who has left is not.
SELECT account_id, name
  FROM member
  JOIN account USING (account_id)
 WHERE account_id = $1
   AND found_by <> 'nothing'
   AND NOT closed;

-- read_by_name --
-- Members who may be found by name and have not left, best match first; neither
-- capitals nor accents count.
SELECT account_id, name
  FROM (SELECT account_id, name,
               strpos(lower(regexp_replace(normalize(name, NFD),
                                           '[\u0300-\u036f]', '', 'g')),
                      lower(regexp_replace(normalize($1, NFD),
                                           '[\u0300-\u036f]', '', 'g'))) AS place
          FROM member
          JOIN account USING (account_id)
         WHERE found_by = 'name'
           AND NOT closed) AS found
 WHERE place > 0
 ORDER BY place, name, account_id
 LIMIT $2;

-- read_found_by --
-- By what a member has chosen to be found.
SELECT found_by FROM member WHERE account_id = $1;

-- write_found_by --
-- Keep by what a member chooses to be found.
UPDATE member SET found_by = $2 WHERE account_id = $1;
