-- Where decisions stand in the hub's log, as this node has checked it, for receipts.
-- ``item`` is the hub's item that carried the decision; ``path`` the hashes, one behind
-- the other, that lead from it to the root of the checkpoint at ``size``.
CREATE TABLE proof (
    transfer_id uuid PRIMARY KEY,
    item bigint NOT NULL,
    log text NOT NULL,
    size bigint NOT NULL,
    path bytea NOT NULL
);
CREATE TRIGGER proof_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON proof
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The checkpoints that proofs lead to, as the hub signed them.
CREATE TABLE proven_checkpoint (
    log text NOT NULL,
    size bigint NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (log, size)
);
CREATE TRIGGER proven_checkpoint_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON proven_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
