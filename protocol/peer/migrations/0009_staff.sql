-- Those who run a group: as what, since when, by whom invited, and who was removed.
ALTER TABLE person
    ADD COLUMN role text,
    ADD COLUMN since timestamptz,
    ADD COLUMN invited_by text,
    ADD COLUMN removed_at timestamptz,
    ADD CONSTRAINT person_role_is_known CHECK (role IN ('treasurer', 'reader'));
-- So far there was one at each node, under a name that no member can have.
UPDATE person SET role = 'treasurer'
 WHERE sign_in_name = '@treasurer' AND account_id IS NULL;
