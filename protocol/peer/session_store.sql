-- insert_session --
-- Let a person in on pages, by the hash of a secret.
INSERT INTO access (secret_hash, person_id, kind, scopes, browser, since, seen, until)
VALUES ($1, $2, 'session', $3, $4, $5, $5, $6);

-- read_session --
-- Whose session this is, and what it may do, while it counts; one who has left her
-- account still reads, and does nothing in its name.
SELECT secret_hash, person_id, person.account_id, person.language, seen,
       person.sign_in_name, person.password_hash IS NOT NULL AS has_password,
       CASE WHEN account.closed
            THEN array_remove(array_remove(scopes, 'pay'), 'batch')
            ELSE scopes
       END AS scopes
  FROM access
  JOIN person USING (person_id)
  LEFT JOIN account ON account.account_id = person.account_id
 WHERE secret_hash = $1 AND access.kind = 'session' AND until > $2
   AND person.removed_at IS NULL;

-- touch_session --
-- A session was used, so it counts for longer.
UPDATE access SET seen = $2, until = $3 WHERE secret_hash = $1 AND kind = 'session';

-- read_sessions --
-- A person's sessions that count, the newest used first.
SELECT secret_hash, browser, since, seen
  FROM access
 WHERE person_id = $1 AND kind = 'session' AND until > $2
 ORDER BY seen DESC, secret_hash;

-- end_session --
-- Let one of a person's sessions count no more.
DELETE FROM access WHERE person_id = $1 AND kind = 'session' AND secret_hash = $2;

-- end_other_sessions --
-- Let all of a person's sessions but one count no more.
DELETE FROM access WHERE person_id = $1 AND kind = 'session' AND secret_hash <> $2;

-- end_old_sessions --
-- Forget sessions that count no more.
DELETE FROM access WHERE kind = 'session' AND until <= $1;

-- write_language --
-- Keep in which language a person likes to read.
UPDATE person SET language = $2 WHERE person_id = $1;

-- write_password --
-- Keep the hash of a person's new password.
UPDATE person SET password_hash = $2 WHERE person_id = $1;
