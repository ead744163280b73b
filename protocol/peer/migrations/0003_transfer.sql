-- Transfers as this server keeps them, and the content lines, which may be erased.
-- Only the clerk draws numbers, and commits one batch after the other: whoever has
-- seen a number will never see a lower one appear.
CREATE SEQUENCE transfer_change CACHE 100;

CREATE TABLE transfer (
    transfer_id uuid PRIMARY KEY,
    role text NOT NULL,
    state text NOT NULL,
    payer_group text NOT NULL,
    payee_group text NOT NULL,
    milliseconds bigint NOT NULL,
    payer_rate bigint NOT NULL,
    payee_rate bigint NOT NULL,
    decide_by timestamptz NOT NULL,
    prepare text NOT NULL,
    content text NOT NULL,
    taken_at timestamptz NOT NULL,
    item_number bigint,
    account text NOT NULL,
    amount bigint NOT NULL,
    deliver text NOT NULL,
    decided_at timestamptz,
    log text,
    number bigint,
    code text,
    answer text,
    answer_number bigint,
    waiting text,
    waiting_code text,
    is_cancel_sent boolean NOT NULL,
    refund_of uuid,
    refunded bigint NOT NULL,
    author text,
    other text NOT NULL,
    changed bigint NOT NULL DEFAULT nextval('transfer_change'),
    CONSTRAINT transfer_role_is_known CHECK (role IN ('payer', 'hub', 'payee')),
    CONSTRAINT transfer_state_is_known CHECK (
        state IN ('ordered', 'taken', 'offered', 'accepted', 'cleared', 'refused')),
    CONSTRAINT refunds_never_exceed_the_original CHECK (
        refunded BETWEEN 0 AND milliseconds)
) WITH (fillfactor = 70);
-- What is not yet decided: few rows, looked through by the hub's clock.
CREATE INDEX transfer_undecided ON transfer (decide_by)
    WHERE state IN ('ordered', 'taken', 'offered', 'accepted');
-- What has happened to a member's transfers since she last looked. The hub's rows
-- name no account, and only one inside a group names two.
CREATE INDEX transfer_of_account ON transfer (account, changed) WHERE account <> '';
CREATE INDEX transfer_of_other ON transfer (other, changed) WHERE other <> '';

CREATE TABLE content (
    content_id text PRIMARY KEY,
    line bytea NOT NULL
);
