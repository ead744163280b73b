-- What treasurers decided about members: a row for each change, for ever.
CREATE TABLE member_limit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id text NOT NULL REFERENCES account,
    at timestamptz NOT NULL,
    author text,
    name text NOT NULL,
    floor bigint,
    ceiling bigint,
    frozen boolean NOT NULL,
    closed boolean NOT NULL
);
CREATE INDEX member_limit_of_account ON member_limit (account_id, number);
CREATE TRIGGER member_limit_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON member_limit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Members who were there before: as they stood.
INSERT INTO member_limit (account_id, at, name, floor, ceiling, frozen, closed)
SELECT account_id, since, name, floor, ceiling, frozen, closed
  FROM member JOIN account USING (account_id)
 ORDER BY account_id;
