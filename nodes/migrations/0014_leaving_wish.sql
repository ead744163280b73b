-- What the group has told the hub of its wish to leave, and how the hub answered.
CREATE TABLE leaving_wish (
    number bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    author text,
    reason text NOT NULL,
    state text NOT NULL,
    answered_at timestamptz,
    CONSTRAINT leaving_wish_state_is_known
        CHECK (state IN ('waiting', 'begun', 'refused')),
    CONSTRAINT leaving_wish_waits_or_was_answered
        CHECK ((state = 'waiting') = (answered_at IS NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX leaving_wish_waits_alone ON leaving_wish (state)
    WHERE state = 'waiting';
CREATE TRIGGER leaving_wish_is_never_removed BEFORE DELETE OR TRUNCATE ON leaving_wish
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
