-- The directory: every decision about a group, in the order it was taken.
CREATE TABLE directory_change (
    sequence bigint PRIMARY KEY,
    group_name text NOT NULL,
    line bytea NOT NULL
);
CREATE TRIGGER directory_change_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON directory_change
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What no program may decide: for the people who run this server.
CREATE TABLE alarm (
    alarm_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    about text NOT NULL,
    told text NOT NULL
);
