-- People, and what lets them in: only hashes of secrets are kept.
CREATE TABLE person (
    person_id uuid PRIMARY KEY,
    sign_in_name text NOT NULL,
    account_id text REFERENCES account,
    password_hash text,
    CONSTRAINT sign_in_name_is_one_persons UNIQUE (sign_in_name)
);

CREATE TABLE access (
    secret_hash text PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES person,
    kind text NOT NULL,
    scopes text[] NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    CONSTRAINT access_kind_is_known CHECK (kind IN ('once', 'token'))
);
CREATE INDEX access_of_person ON access (person_id);
