-- A group's node: its members, and how orders were answered, for ever.
CREATE TABLE member (
    account_id text PRIMARY KEY REFERENCES account,
    name text NOT NULL,
    since timestamptz NOT NULL
);

CREATE TABLE idempotency (
    caller text NOT NULL,
    key text NOT NULL,
    body_hash text NOT NULL,
    transfer_id uuid,
    code text,
    at timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);

-- The newest decision taken from the hub: one row.
CREATE TABLE newest_decision (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    log text NOT NULL,
    number bigint NOT NULL
) WITH (fillfactor = 50);

-- Which federation this node has joined: one row, written by join.
CREATE TABLE membership (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    federation text NOT NULL,
    group_name text NOT NULL,
    hub_url text NOT NULL,
    statement text NOT NULL,
    entry text NOT NULL
);
