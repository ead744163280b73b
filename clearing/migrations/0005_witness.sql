-- Covers of groups that name a checkpoint of the log: who was shown it.
CREATE TABLE witness (
    log text NOT NULL,
    size bigint NOT NULL,
    group_name text NOT NULL,
    cover text NOT NULL,
    PRIMARY KEY (log, size, group_name)
);
CREATE TRIGGER witness_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON witness
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
