-- insert_person --
-- Keep a person; one that is there keeps what she has.
INSERT INTO person (person_id, sign_in_name, account_id, password_hash)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (sign_in_name) DO NOTHING;

-- read_person --
-- A person by the name she signs in with.
SELECT person_id, account_id, password_hash FROM person WHERE sign_in_name = $1;

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
 WHERE secret_hash = $1 AND access.kind = 'token' AND until > $2;

-- spend_once --
-- Use up a one-time code; gives whose it was.
DELETE FROM access
 WHERE secret_hash = $1 AND kind = 'once' AND until > $2
RETURNING person_id, scopes;

-- end_token --
-- Let a token count no more.
DELETE FROM access WHERE secret_hash = $1 AND kind = 'token';

-- end_onces --
-- Let a person's one-time codes count no more.
DELETE FROM access WHERE person_id = $1 AND kind = 'once';
