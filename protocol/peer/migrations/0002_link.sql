-- The links: two numbered, chained streams with each peer, kept for ever.
CREATE TABLE link (
    peer text PRIMARY KEY,
    sent bigint NOT NULL,
    sent_head text NOT NULL,
    acknowledged bigint NOT NULL,
    acknowledged_head text NOT NULL,
    taken bigint NOT NULL,
    taken_head text NOT NULL,
    lives text[] NOT NULL,
    trouble text,
    CONSTRAINT acknowledged_was_sent CHECK (acknowledged <= sent)
) WITH (fillfactor = 50);

CREATE TABLE envelope (
    peer text NOT NULL,
    direction text NOT NULL,
    first bigint NOT NULL,
    count integer NOT NULL,
    line_1 text NOT NULL,
    payload_hash text NOT NULL,
    life text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (peer, direction, first),
    CONSTRAINT envelope_direction_is_known CHECK (direction IN ('in', 'out')),
    CONSTRAINT envelope_carries_items CHECK (first > 0 AND count > 0)
);

CREATE TABLE item (
    peer text NOT NULL,
    direction text NOT NULL,
    number bigint NOT NULL,
    line bytea NOT NULL,
    PRIMARY KEY (peer, direction, number),
    CONSTRAINT item_direction_is_known CHECK (direction IN ('in', 'out')),
    CONSTRAINT item_numbers_start_at_one CHECK (number > 0)
);

-- Content for the other group: outside every signature, so that it can be erased.
CREATE TABLE sealed_line (
    peer text NOT NULL,
    direction text NOT NULL,
    number bigint NOT NULL,
    box text NOT NULL,
    PRIMARY KEY (peer, direction, number)
);

CREATE TRIGGER envelope_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON envelope
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER item_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON item
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT peer, direction, low INTO wrong
      FROM (SELECT peer, direction, min(number) AS low, max(number) AS high,
                   count(*) AS many
              FROM added GROUP BY peer, direction) AS run
     WHERE many <> high - low + 1
        OR (low > 1 AND (
                SELECT number FROM item
                 WHERE item.peer = run.peer AND item.direction = run.direction
                   AND item.number = run.low - 1) IS NULL)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'items % of % leave a gap at %',
            wrong.direction, wrong.peer, wrong.low
            USING ERRCODE = 'check_violation', CONSTRAINT = 'item_numbers_have_no_gaps';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER item_numbers_have_no_gaps AFTER INSERT ON item
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_gap();

-- A sender's covers never go back in time, not even over a restart with a slower
-- clock: one row, always a little ahead of the newest cover.
CREATE TABLE cover_limit (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    not_after timestamptz NOT NULL
) WITH (fillfactor = 50);
