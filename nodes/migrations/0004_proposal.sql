-- What the group asked the hub to approve, newest entries of its own, and the answers.
CREATE TABLE proposal (
    number bigint PRIMARY KEY,
    entry text NOT NULL,
    at timestamptz NOT NULL,
    state text NOT NULL,
    answered_at timestamptz,
    CONSTRAINT proposal_state_is_known
        CHECK (state IN ('waiting', 'approved', 'refused', 'replaced')),
    CONSTRAINT proposal_waits_or_was_answered
        CHECK ((state = 'waiting') = (answered_at IS NULL))
);
CREATE UNIQUE INDEX proposal_waits_alone ON proposal (state) WHERE state = 'waiting';
