-- Who the regional admins are, and dangerous acts that wait for another one's word.
ALTER TABLE person
    DROP CONSTRAINT person_role_is_known,
    ADD CONSTRAINT person_role_is_known
        CHECK (role IN ('treasurer', 'reader', 'admin'));
-- So far there was one at each hub.
UPDATE person SET role = 'admin' WHERE sign_in_name = '@admin' AND account_id IS NULL;

CREATE TABLE consent (
    number bigint PRIMARY KEY,
    act text NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL,
    state text NOT NULL,
    ended_by text,
    ended_at timestamptz,
    CONSTRAINT consent_state_is_known CHECK (state IN ('asked', 'done', 'withdrawn')),
    CONSTRAINT consent_waits_or_has_ended
        CHECK ((state = 'asked') = (ended_by IS NULL) AND
               (state = 'asked') = (ended_at IS NULL)),
    CONSTRAINT nobody_agrees_with_herself
        CHECK (state <> 'done' OR ended_by <> asked_by)
) WITH (fillfactor = 70);
CREATE TRIGGER consent_is_never_removed BEFORE DELETE OR TRUNCATE ON consent
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
