-- Cycles: the hub's logs in order, statements, what we said to them, and legs.
-- The hub's logs in the order in which it opened them, as its decisions told us. One in
-- which we were admitted is not here, and comes before all others.
CREATE TABLE hub_log (
    log text PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);
INSERT INTO hub_log (log)
SELECT log
  FROM (SELECT number, convert_from(line, 'UTF8')::json ->> 'log' AS log
          FROM item
         WHERE peer = 'hub' AND direction = 'in'
           AND position('"kind":"log"'::bytea IN line) > 0
           AND position('{"type":"decision"'::bytea IN line) = 1) AS told
 GROUP BY log ORDER BY min(number);

CREATE TABLE cycle (
    cycle bigint PRIMARY KEY,
    log text NOT NULL,
    number bigint NOT NULL,
    former_log text,
    former_number bigint,
    at timestamptz NOT NULL,
    -- The newest entry when we took that decision.
    sequence bigint NOT NULL,
    line bytea,
    state text NOT NULL,
    answered_at timestamptz,
    dispute bytea,
    -- A list of the hub's that waits for an answer.
    unanswered bytea,
    difference text,
    CONSTRAINT cycle_state_is_known
        CHECK (state IN ('told', 'waiting', 'agreed', 'disputed')),
    CONSTRAINT cycle_is_stated_or_only_told CHECK ((state = 'told') = (line IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX cycle_waits ON cycle (cycle)
    WHERE state = 'waiting' OR unanswered IS NOT NULL;

CREATE TRIGGER cycle_is_never_removed BEFORE DELETE OR TRUNCATE ON cycle
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What one group is to make good to another, and how that ended.
CREATE TABLE leg (
    leg_id uuid PRIMARY KEY,
    cycle bigint NOT NULL,
    item bigint NOT NULL UNIQUE,
    line bytea NOT NULL,
    at timestamptz NOT NULL,
    debtor text NOT NULL,
    creditor text NOT NULL,
    milliseconds bigint NOT NULL,
    state text NOT NULL,
    signed_at timestamptz,
    author text,
    reason text,
    log text,
    number bigint,
    ended_at timestamptz,
    code text,
    CONSTRAINT leg_moves_something CHECK (milliseconds > 0),
    CONSTRAINT leg_state_is_known CHECK (state IN ('open', 'signed', 'settled', 'void')),
    CONSTRAINT leg_is_open_or_was_decided
        CHECK ((state IN ('open', 'signed')) = (log IS NULL)),
    CONSTRAINT leg_settles_when_signed
        CHECK (state NOT IN ('signed', 'settled') OR signed_at IS NOT NULL)
) WITH (fillfactor = 70);
CREATE TRIGGER leg_is_never_removed BEFORE DELETE OR TRUNCATE ON leg
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
