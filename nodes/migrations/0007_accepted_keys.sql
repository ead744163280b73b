-- Keys of other groups for which nobody had vouched, and which people have compared by
-- their check digits; ``keys`` is the hash of federation, group and all of them.
CREATE TABLE accepted_keys (
    accepted_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    group_name text NOT NULL,
    keys text NOT NULL,
    digits text NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT accepted_keys_once UNIQUE (keys)
);
CREATE TRIGGER accepted_keys_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON accepted_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
