-- Transfers as this server keeps them, and the content lines, which may be erased.
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
    waiting text,
    waiting_code text,
    is_cancel_sent boolean NOT NULL,
    CONSTRAINT transfer_role_is_known CHECK (role IN ('payer', 'hub', 'payee')),
    CONSTRAINT transfer_state_is_known CHECK (
        state IN ('ordered', 'taken', 'offered', 'accepted', 'cleared', 'refused'))
) WITH (fillfactor = 70);
-- What is not yet decided: few rows, looked through by the hub's clock.
CREATE INDEX transfer_undecided ON transfer (decide_by)
    WHERE state IN ('ordered', 'taken', 'offered', 'accepted');

CREATE TABLE content (
    content_id text PRIMARY KEY,
    line bytea NOT NULL
);
