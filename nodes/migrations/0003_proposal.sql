-- What the group asked the hub to approve, newest entries of its own, and the answers.
CREATE TABLE proposal (
    number bigint PRIMARY KEY,
    entry text NOT NULL,
    at timestamptz NOT NULL,
    state text NOT NULL,
    answered_at timestamptz,
    CONSTRAINT proposal_state_is_known
        CHECK (state IN ('pending', 'approved', 'refused')),
    CONSTRAINT proposal_is_pending_or_was_answered
        CHECK ((state = 'pending') = (answered_at IS NULL))
);
CREATE UNIQUE INDEX proposal_is_pending_alone ON proposal (state) WHERE state = 'pending';
