-- Which plans were made for a cycle, and whom the regional admin excepted; and in which
-- item each word on a leg came, so that a leg is settled by what was signed alone.
CREATE TABLE settlement (
    cycle bigint NOT NULL,
    -- Of its first leg; and how many it has, one behind another.
    place bigint NOT NULL,
    legs bigint NOT NULL,
    at timestamptz NOT NULL,
    excepted text[] NOT NULL,
    PRIMARY KEY (cycle, place),
    CONSTRAINT settlement_has_legs CHECK (place >= 0 AND legs > 0)
);

CREATE TABLE word (
    leg_id uuid NOT NULL,
    said text NOT NULL,
    party text NOT NULL,
    item bigint NOT NULL,
    PRIMARY KEY (leg_id, said),
    CONSTRAINT word_is_known CHECK (said IN ('paid', 'received'))
);

-- Plans made so far excepted nobody; the legs of each were made at one moment.
INSERT INTO settlement (cycle, place, legs, at, excepted)
SELECT cycle, min(place), count(*), at, '{}' FROM leg GROUP BY cycle, at;

-- Words taken so far: the first item of the party that has the hash in the leg's row.
INSERT INTO word (leg_id, said, party, item)
SELECT leg_id, side.said, side.party, min(item.number)
  FROM leg
 CROSS JOIN LATERAL (VALUES ('paid', debtor, paid), ('received', creditor, received))
    AS side (said, party, hash)
  JOIN item ON item.peer = side.party AND item.direction = 'in'
           AND position('{"type":"settlement.'::bytea IN item.line) = 1
           AND translate(encode(sha256(item.line), 'base64'), '+/=', '-_') = side.hash
 GROUP BY leg_id, side.said, side.party;

CREATE TRIGGER settlement_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON settlement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER word_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON word
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
