-- Who of the staff did what, when, about whom and why: a row for each act, for ever.
CREATE TABLE act (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    author text,
    deed text NOT NULL,
    about text NOT NULL,
    details text NOT NULL,
    reason text
);
CREATE INDEX act_of_author ON act (author, number);
CREATE INDEX act_about ON act (about, number);
CREATE TRIGGER act_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON act
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Why a treasurer decided something about a member, where she said so.
ALTER TABLE member_limit ADD COLUMN reason text;
