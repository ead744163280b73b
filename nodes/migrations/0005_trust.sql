-- What this node believes of each of the hub's logs, and what contradicts it.
-- An era begins when people have looked and trust the hub again: then it is believed
-- anew from what it shows first. ``place`` is a log's among its era's.
CREATE TABLE belief (
    era bigint NOT NULL,
    log text NOT NULL,
    place bigint NOT NULL,
    size bigint NOT NULL,
    root text NOT NULL,
    note text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (era, log)
) WITH (fillfactor = 50);

-- Up to which item of the hub's everything that it says was compared with its log.
CREATE TABLE compared_item (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    number bigint NOT NULL
) WITH (fillfactor = 50);

-- Statements that contradict each other, as they were signed; ``about`` is ``hub``,
-- or the group that was shown another history than ours.
CREATE TABLE doubt (
    doubt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    about text NOT NULL,
    told text NOT NULL,
    ours text NOT NULL,
    theirs text NOT NULL
);
CREATE TRIGGER doubt_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON doubt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- People have looked at all doubts about a peer up to this one, and trust it again.
CREATE TABLE trust (
    trust_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    about text NOT NULL,
    doubt_id bigint NOT NULL,
    author text NOT NULL,
    reason text NOT NULL
);
CREATE TRIGGER trust_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trust
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
