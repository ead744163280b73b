-- By what a member is found, and what else a key for ever may have made.
ALTER TABLE member
    -- Her choice, no bearing on who may pay her.
    ADD COLUMN found_by text NOT NULL DEFAULT 'address'
        CONSTRAINT member_is_found_by_something_known
        CHECK (found_by IN ('nothing', 'address', 'name'));
ALTER TABLE idempotency ADD COLUMN entry_id uuid, ADD COLUMN account_id text;
