-- Proposals of groups: new entries that wait for the regional admin, and what became of them.
CREATE TABLE proposal (
    group_name text NOT NULL,
    number bigint NOT NULL,
    line_hash text NOT NULL,
    entry text NOT NULL,
    at timestamptz NOT NULL,
    state text NOT NULL,
    decided_at timestamptz,
    PRIMARY KEY (group_name, number),
    CONSTRAINT proposal_state_is_known
        CHECK (state IN ('waiting', 'approved', 'refused', 'replaced')),
    CONSTRAINT proposal_waits_or_was_decided
        CHECK ((state = 'waiting') = (decided_at IS NULL))
);
CREATE UNIQUE INDEX proposal_waits_alone ON proposal (group_name) WHERE state = 'waiting';
