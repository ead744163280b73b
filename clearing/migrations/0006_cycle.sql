-- Cycles: how positions go in the open one, those that have ended, what groups say to them.
-- A move is folded into its group's tally in memory; the rows are written now and then,
-- all as they stood after one entry, so that a start need not read a whole cycle.
CREATE TABLE tally (
    group_name text PRIMARY KEY,
    opening bigint NOT NULL,
    debits bigint NOT NULL,
    credits bigint NOT NULL,
    count bigint NOT NULL,
    digest text NOT NULL
) WITH (fillfactor = 50);

-- The newest entry that those rows know of: one row.
CREATE TABLE tallied (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    sequence bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE cycle (
    cycle bigint PRIMARY KEY,
    log text NOT NULL,
    number bigint NOT NULL,
    former_log text,
    former_number bigint,
    at timestamptz NOT NULL,
    groups bigint NOT NULL,
    statements text NOT NULL,
    reserve bigint NOT NULL
);
CREATE TRIGGER cycle_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cycle
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE statement (
    cycle bigint NOT NULL,
    group_name text NOT NULL,
    line bytea NOT NULL,
    state text NOT NULL,
    answered_at timestamptz,
    answer bigint,
    dispute bytea,
    -- A list of the node's that waits for an answer; empty: the first is to be sent.
    unanswered bytea,
    difference text,
    PRIMARY KEY (cycle, group_name),
    CONSTRAINT statement_state_is_known
        CHECK (state IN ('waiting', 'agreed', 'disputed')),
    CONSTRAINT statement_waits_or_was_answered
        CHECK ((state = 'waiting') = (answered_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX statement_unanswered ON statement (cycle) WHERE unanswered IS NOT NULL;
CREATE INDEX statement_of_group ON statement (group_name, cycle);

-- Groups agree with a line for ever: nothing may put another in its place.
CREATE FUNCTION refuse_other_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.line <> OLD.line OR (OLD.state = 'agreed' AND NEW.state <> 'agreed') THEN
        RAISE EXCEPTION 'a statement never changes'
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'statement_never_changes';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER statement_never_changes BEFORE UPDATE ON statement
    FOR EACH ROW EXECUTE FUNCTION refuse_other_line();

CREATE TRIGGER statement_is_never_removed BEFORE DELETE OR TRUNCATE ON statement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What one group is to make good to another, and how that ended.
CREATE TABLE leg (
    leg_id uuid PRIMARY KEY,
    cycle bigint NOT NULL,
    place bigint NOT NULL,
    at timestamptz NOT NULL,
    debtor text NOT NULL,
    creditor text NOT NULL,
    milliseconds bigint NOT NULL,
    paid text,
    paid_at timestamptz,
    received text,
    received_at timestamptz,
    state text NOT NULL,
    log text,
    number bigint,
    ended_at timestamptz,
    code text,
    CONSTRAINT leg_moves_something CHECK (milliseconds > 0),
    CONSTRAINT leg_is_between_two CHECK (debtor <> creditor),
    CONSTRAINT leg_state_is_known CHECK (state IN ('open', 'settled', 'void')),
    CONSTRAINT leg_is_open_or_was_decided CHECK ((state = 'open') = (log IS NULL)),
    CONSTRAINT leg_settles_when_both_signed
        CHECK (state <> 'settled' OR (paid IS NOT NULL AND received IS NOT NULL)),
    CONSTRAINT leg_has_one_place UNIQUE (cycle, place)
) WITH (fillfactor = 70);
CREATE INDEX leg_open ON leg (leg_id) WHERE state = 'open';
CREATE TRIGGER leg_is_never_removed BEFORE DELETE OR TRUNCATE ON leg
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
