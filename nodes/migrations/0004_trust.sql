-- What this node believes of each of the hub's logs, and what contradicts it.
CREATE TABLE belief (
    log text PRIMARY KEY,
    size bigint NOT NULL,
    root text NOT NULL,
    note text NOT NULL,
    checked bigint,
    at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE doubt (
    doubt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    told text NOT NULL,
    ours text NOT NULL,
    theirs text NOT NULL
);
CREATE TRIGGER doubt_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON doubt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
