-- New keys that the group asked the hub for, and what became of them.
CREATE TABLE renewal (
    renewal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number bigint NOT NULL,
    -- Written once by the one clerk; too long for an index.
    entry text NOT NULL,
    statement text NOT NULL,
    at timestamptz NOT NULL,
    is_recovery boolean NOT NULL,
    state text NOT NULL,
    answered_at timestamptz,
    CONSTRAINT renewal_state_is_known
        CHECK (state IN ('waiting', 'approved', 'refused', 'replaced')),
    CONSTRAINT renewal_waits_or_was_answered
        CHECK ((state = 'waiting') = (answered_at IS NULL))
);
CREATE UNIQUE INDEX renewal_waits_alone ON renewal (state) WHERE state = 'waiting';
