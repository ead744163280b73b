-- insert_person --
-- Keep a person; one that is there keeps what she has.
INSERT INTO person (person_id, sign_in_name, account_id, password_hash)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (sign_in_name) DO NOTHING;

-- read_person --
-- A person by the name she signs in with.
SELECT person_id, account_id, password_hash, removed_at
  FROM person
 WHERE sign_in_name = $1;

-- insert_access --
-- Let a person in, by the hash of a secret.
INSERT INTO access (secret_hash, person_id, kind, scopes, since, until)
VALUES ($1, $2, $3, $4, $5, $6);

-- read_token --
-- Whose token this is, and what it may do, while it counts; one who has left her
-- account still reads, and does nothing in its name.
SELECT person_id, person.account_id,
       CASE WHEN account.closed
            THEN array_remove(array_remove(scopes, 'pay'), 'batch')
            ELSE scopes
       END AS scopes
  FROM access
  JOIN person USING (person_id)
  LEFT JOIN account ON account.account_id = person.account_id
 WHERE secret_hash = $1 AND access.kind = 'token' AND until > $2
   AND person.removed_at IS NULL;

-- spend_once --
-- Use up a one-time code; gives whose it was.
DELETE FROM access
 WHERE secret_hash = $1 AND kind = 'once' AND until > $2
RETURNING person_id, scopes;

-- end_token --
-- Let a token count no more.
DELETE FROM access WHERE secret_hash = $1 AND kind = 'token';

-- insert_people --
-- Keep members who may sign in, each under her account; one that is there stays.
INSERT INTO person (person_id, sign_in_name, account_id)
SELECT gen_random_uuid(), account_id, account_id
  FROM unnest($1::text[]) AS new (account_id)
    ON CONFLICT (sign_in_name) DO NOTHING;

-- end_onces_of --
-- Let members' one-time codes count no more.
DELETE FROM access USING person
 WHERE access.person_id = person.person_id AND access.kind = 'once'
   AND person.sign_in_name = ANY($1::text[])
RETURNING access.person_id;

-- insert_onces --
-- Let members in, each by the hash of a secret.
INSERT INTO access (secret_hash, person_id, kind, scopes, since, until)
SELECT secret_hash, person_id, 'once', $3::text[], $4::timestamptz, $5::timestamptz
  FROM unnest($1::text[], $2::text[]) AS new (sign_in_name, secret_hash)
  JOIN person USING (sign_in_name);

-- read_outside --
-- Members' accounts that nobody has signed in to yet, and who has no password.
SELECT account_id
  FROM account
 WHERE kind = 'member' AND NOT closed
   AND NOT EXISTS (
       SELECT FROM person
        WHERE person.account_id = account.account_id
          AND (person.password_hash IS NOT NULL
               OR EXISTS (SELECT FROM access
                           WHERE access.person_id = person.person_id
                             AND access.kind = 'token')))
 ORDER BY account_id;

-- end_onces --
-- Let a person's one-time codes count no more.
DELETE FROM access WHERE person_id = $1 AND kind = 'once';

-- give_role --
-- Let somebody be one of the staff, from now on if she was not.
WITH before AS (
    SELECT person_id, role IS DISTINCT FROM $2 OR removed_at IS NOT NULL AS is_new
      FROM person
     WHERE sign_in_name = $1
), ended AS (
    DELETE FROM access
     USING before
     WHERE access.person_id = before.person_id AND before.is_new
       AND access.kind <> 'once'
)
UPDATE person
   SET role = $2, removed_at = NULL,
       since = CASE WHEN is_new THEN $3 ELSE since END,
       invited_by = CASE WHEN is_new THEN $4 ELSE invited_by END
  FROM before
 WHERE person.person_id = before.person_id;

-- lock_staff --
-- Let nobody else change who is staff until this database transaction has ended; who
-- signs in meanwhile need not wait.
SELECT FROM person WHERE role IS NOT NULL ORDER BY person_id FOR NO KEY UPDATE;

-- read_staff --
-- All who are staff or were, by name.
SELECT person.person_id, person.sign_in_name, person.role, person.since,
       coalesce(inviter.sign_in_name, person.invited_by) AS invited_by,
       person.removed_at
  FROM person
  LEFT JOIN person AS inviter ON inviter.person_id::text = person.invited_by
 WHERE person.role IS NOT NULL
 ORDER BY person.sign_in_name;

-- read_sign_ins --
-- What lets these people in now, oldest first.
SELECT person_id, secret_hash, kind, since, until
  FROM access
 WHERE person_id = ANY($1::uuid[]) AND until > $2
 ORDER BY since, secret_hash;

-- remove_person --
-- Let a person be staff no more.
UPDATE person SET removed_at = $2 WHERE person_id = $1;

-- end_sign_ins --
-- Let what lets a person in count no more: all of it, or the one named.
DELETE FROM access
 WHERE person_id = $1 AND ($2::text IS NULL OR secret_hash = $2)
RETURNING secret_hash;

-- end_password --
-- Let a person's password count no more; gives a row if she had one.
UPDATE person SET password_hash = NULL
 WHERE person_id = $1 AND password_hash IS NOT NULL
RETURNING person_id;

-- read_name --
-- The name that a person signs in with.
SELECT sign_in_name FROM person WHERE person_id = $1;
