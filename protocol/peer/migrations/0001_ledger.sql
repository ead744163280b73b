-- The ledger: accounts, entries with their postings, and holds.
CREATE TABLE account (
    account_id text PRIMARY KEY,
    kind text NOT NULL,
    unit text NOT NULL,
    balance bigint NOT NULL,
    held_out bigint NOT NULL,
    held_in bigint NOT NULL,
    floor bigint,
    ceiling bigint,
    frozen boolean NOT NULL,
    CONSTRAINT account_kind_is_known CHECK (kind IN ('member', 'group', 'system')),
    CONSTRAINT account_unit_is_known CHECK (unit IN ('unit', 'time')),
    CONSTRAINT held_amounts_are_never_negative CHECK (held_out >= 0 AND held_in >= 0),
    CONSTRAINT floor_is_not_above_ceiling CHECK (floor <= ceiling)
) WITH (fillfactor = 50);
CREATE INDEX account_of_system ON account (account_id) WHERE kind = 'system';

CREATE TABLE entry (
    sequence bigint PRIMARY KEY,
    entry_id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    transfer_id uuid,
    author text,
    reason text,
    content_id text,
    CONSTRAINT entry_is_booked_once UNIQUE (entry_id)
);

-- No foreign keys where every payment writes: each row of each would be looked up
-- once more, and the audit looks at all of them. See docs/decisions/0011.
CREATE TABLE posting (
    account_id text NOT NULL,
    sequence bigint NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    PRIMARY KEY (account_id, sequence),
    CONSTRAINT posting_moves_something CHECK (amount <> 0)
);
CREATE INDEX posting_of_entry ON posting (sequence);

CREATE TABLE hold (
    transfer_id uuid PRIMARY KEY,
    debit_account text NOT NULL,
    credit_account text NOT NULL,
    amount bigint NOT NULL,
    state text NOT NULL,
    CONSTRAINT hold_sets_something_aside CHECK (amount > 0),
    CONSTRAINT hold_is_on_two_accounts CHECK (debit_account <> credit_account),
    CONSTRAINT hold_state_is_known CHECK (state IN ('held', 'posted', 'voided'))
) WITH (fillfactor = 80);

-- The second lock on the same door: the rules never ask for what these refuse.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER posting_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an account stays for ever'
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'account_is_never_removed';
END $$;
CREATE TRIGGER account_is_never_removed BEFORE DELETE OR TRUNCATE ON account
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_removal();

-- All postings of an entry come in one statement, so one check per batch is enough.
CREATE FUNCTION refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT added.sequence INTO wrong
      FROM added JOIN account USING (account_id)
     GROUP BY added.sequence, account.unit
    HAVING sum(added.amount) <> 0
     LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'entry % does not sum to zero', wrong
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_sums_to_zero';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_sums_to_zero AFTER INSERT ON posting
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced();
