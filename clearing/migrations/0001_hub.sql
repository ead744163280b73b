-- The hub: its decisions, what nodes mirror, and invitations.
CREATE TABLE decision (
    log text NOT NULL,
    number bigint NOT NULL,
    sequence bigint NOT NULL UNIQUE,
    line bytea NOT NULL,
    PRIMARY KEY (log, number)
);
CREATE TRIGGER decision_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decision
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE mirror (
    group_name text PRIMARY KEY,
    log text NOT NULL,
    number bigint NOT NULL,
    balance bigint NOT NULL
);

CREATE TABLE invitation (
    code_hash text PRIMARY KEY,
    group_name text NOT NULL,
    floor bigint NOT NULL,
    ceiling bigint NOT NULL,
    until timestamptz NOT NULL,
    spent_at timestamptz,
    request_hash text,
    CONSTRAINT invitation_floor_is_not_above_ceiling CHECK (floor <= ceiling)
);

-- Who this hub is: one row, written by init.
CREATE TABLE hub_identity (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    federation text NOT NULL,
    statement text NOT NULL
);
