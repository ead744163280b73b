-- Legs of which people were called because a word is waited for too long, each once. And
-- words on legs that the first look for them passed over, since their lines do not begin
-- with their type: a sender may write the fields of an item in another order.
CREATE TABLE late_leg (
    leg_id uuid PRIMARY KEY,
    called_at timestamptz NOT NULL
);
CREATE TRIGGER late_leg_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON late_leg
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

INSERT INTO word (leg_id, said, party, item)
SELECT leg_id, side.said, side.party, found.number
  FROM leg
 CROSS JOIN LATERAL (VALUES ('paid', debtor, paid), ('received', creditor, received))
    AS side (said, party, hash)
 CROSS JOIN LATERAL (
       SELECT item.number FROM item
        WHERE item.peer = side.party AND item.direction = 'in'
          AND translate(encode(sha256(item.line), 'base64'), '+/=', '-_') = side.hash
        ORDER BY item.number LIMIT 1) AS found
 WHERE side.hash IS NOT NULL
   AND NOT EXISTS (SELECT FROM word
                    WHERE word.leg_id = leg.leg_id AND word.said = side.said);
