-- What groups share: what they were told, and the decision that moved their positions.
CREATE TABLE shared (
    shared_id uuid PRIMARY KEY,
    why text NOT NULL,
    -- Which group leaves something behind; none where a charge is taken.
    group_name text,
    place bigint NOT NULL,
    -- What all were told beforehand.
    line bytea,
    told_at timestamptz,
    state text NOT NULL,
    log text,
    number bigint,
    decided_at timestamptz,
    CONSTRAINT shared_reason_is_known CHECK (why IN ('debt', 'charge')),
    CONSTRAINT shared_state_is_known CHECK (state IN ('told', 'decided', 'replaced')),
    CONSTRAINT shared_is_decided_by_a_decision
        CHECK ((state = 'decided') = (log IS NOT NULL)),
    CONSTRAINT shared_debt_was_told
        CHECK (why = 'charge' OR (group_name IS NOT NULL AND line IS NOT NULL)),
    CONSTRAINT shared_has_one_place UNIQUE (group_name, place)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX shared_of_decision ON shared (log, number);

-- What all were told never changes, nor is anything shared a second time.
CREATE FUNCTION refuse_other_share() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'told' OR NEW.line IS DISTINCT FROM OLD.line THEN
        RAISE EXCEPTION 'what was told or decided never changes'
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'shared_never_changes';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER shared_never_changes BEFORE UPDATE ON shared
    FOR EACH ROW EXECUTE FUNCTION refuse_other_share();
CREATE TRIGGER shared_is_never_removed BEFORE DELETE OR TRUNCATE ON shared
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A position times how long it stood there, in milliseconds, summed up to its newest move
-- in this cycle: what an average follows from. It passes 64 bits. A row of before has no
-- such time yet; a start makes both anew.
ALTER TABLE tally ADD COLUMN area numeric NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN since timestamptz;
