-- What every outcome of a payment needs: closed accounts, counter-entries, refunds,
-- authors, and the order in which transfers changed.
ALTER TABLE account
    ADD COLUMN closed boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT closed_account_is_empty CHECK (
        NOT closed OR (balance = 0 AND held_out = 0 AND held_in = 0));
ALTER TABLE account ALTER COLUMN closed DROP DEFAULT;

ALTER TABLE entry ADD COLUMN corrects uuid;
-- Partial, so that a payment has nothing to write here.
CREATE UNIQUE INDEX entry_is_corrected_once ON entry (corrects)
    WHERE corrects IS NOT NULL;

-- Only the clerk draws numbers, and commits one batch after the other: whoever has
-- seen a number will never see a lower one appear.
CREATE SEQUENCE transfer_change CACHE 100;

ALTER TABLE transfer
    ADD COLUMN answer_number bigint,
    ADD COLUMN refund_of uuid,
    ADD COLUMN refunded bigint NOT NULL DEFAULT 0,
    ADD COLUMN author text,
    ADD COLUMN other text NOT NULL DEFAULT '',
    ADD COLUMN changed bigint NOT NULL DEFAULT nextval('transfer_change'),
    ADD CONSTRAINT refunds_never_exceed_the_original CHECK (
        refunded BETWEEN 0 AND milliseconds);
ALTER TABLE transfer
    ALTER COLUMN refunded DROP DEFAULT,
    ALTER COLUMN other DROP DEFAULT;
-- Who was paid in a payment inside a group, so that the payee finds it too.
UPDATE transfer
   SET other = posting.account_id
  FROM entry JOIN posting USING (sequence)
 WHERE entry.transfer_id = transfer.transfer_id
   AND transfer.payer_group = transfer.payee_group
   AND posting.amount > 0;
-- What has happened to a member's transfers since she last looked. The hub's rows
-- name no account, and only one inside a group names two.
CREATE INDEX transfer_of_account ON transfer (account, changed) WHERE account <> '';
CREATE INDEX transfer_of_other ON transfer (other, changed) WHERE other <> '';
