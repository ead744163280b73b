-- The log's signed checkpoints, and what its tiles hold above level 0.
CREATE TABLE checkpoint (
    log text NOT NULL,
    size bigint NOT NULL,
    root text NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (log, size)
);
CREATE TRIGGER checkpoint_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE tile_hash (
    log text NOT NULL,
    level integer NOT NULL,
    index bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (log, level, index)
);
CREATE TRIGGER tile_hash_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON tile_hash
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
