-- What the mirror check keeps of each group beside the newest mirror itself.
ALTER TABLE mirror
    -- The newest that was equal to the position at its decision, if any was.
    ADD COLUMN agreed_log text,
    ADD COLUMN agreed_number bigint,
    -- Until now nobody looked: the group's next mirror tells.
    ADD COLUMN differs boolean NOT NULL DEFAULT false,
    ADD COLUMN called_at timestamptz;
ALTER TABLE mirror ALTER COLUMN differs DROP DEFAULT;
ALTER TABLE mirror SET (fillfactor = 50);
