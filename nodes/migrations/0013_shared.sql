-- What groups share: what we were told, and the decision by which we bear our part.
CREATE TABLE shared (
    shared_id uuid PRIMARY KEY,
    why text NOT NULL,
    -- Which group leaves something behind; none where a charge is taken.
    group_name text,
    -- The hub's item that told of it beforehand, and what it said.
    item bigint UNIQUE,
    line bytea,
    -- What it adds to our position, milliseconds.
    amount bigint NOT NULL,
    log text,
    number bigint,
    decided_at timestamptz,
    CONSTRAINT shared_reason_is_known CHECK (why IN ('debt', 'charge')),
    CONSTRAINT shared_debt_was_told CHECK (why = 'charge' OR line IS NOT NULL),
    CONSTRAINT shared_is_told_by_an_item CHECK ((item IS NULL) = (line IS NULL))
) WITH (fillfactor = 70);
CREATE TRIGGER shared_is_never_removed BEFORE DELETE OR TRUNCATE ON shared
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
