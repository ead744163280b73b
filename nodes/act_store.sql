-- insert_acts --
-- Note what was done, in the order in which it was.
INSERT INTO act (author, deed, about, details, reason, at)
SELECT author, deed, about, details, reason, $6::timestamptz
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
       WITH ORDINALITY AS new (author, deed, about, details, reason, place)
 ORDER BY place;

-- read_acts --
-- What was done, newest first, and by whom.
SELECT number, at, coalesce(person.sign_in_name, author) AS author, deed, about,
       details, reason
  FROM act
  LEFT JOIN person ON person.person_id::text = author
 WHERE number < $1
   AND ($3::text IS NULL OR about = $3)
   AND ($4::text IS NULL OR author = (SELECT person_id::text
                                        FROM person
                                       WHERE sign_in_name = $4))
 ORDER BY number DESC
 LIMIT $2;
