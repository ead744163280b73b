-- Legs of which the treasurer was called because a word is waited for too long, each once.
CREATE TABLE late_leg (
    leg_id uuid PRIMARY KEY,
    called_at timestamptz NOT NULL
);
CREATE TRIGGER late_leg_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON late_leg
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
