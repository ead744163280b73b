-- What was brought in from another program, by the digest of its files: once, for ever.
CREATE TABLE import_run (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    digest text NOT NULL,
    at timestamptz NOT NULL,
    members bigint NOT NULL,
    entries bigint NOT NULL
);
CREATE TRIGGER import_run_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON import_run
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
