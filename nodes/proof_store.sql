-- insert_proofs --
-- Keep where decisions stand; the first proof of each is enough.
INSERT INTO proof (transfer_id, item, log, size, path)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bytea[])
    ON CONFLICT (transfer_id) DO NOTHING;

-- insert_checkpoints --
-- Keep signed checkpoints that proofs lead to, or that the hub has gone back behind.
INSERT INTO proven_checkpoint (log, size, note)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])
    ON CONFLICT (log, size) DO NOTHING;

-- read_proof --
-- Where a transfer's decision stands, and the checkpoint that says so.
SELECT proof.item, proof.log, proof.size, proof.path, proven_checkpoint.note
  FROM proof JOIN proven_checkpoint USING (log, size)
 WHERE proof.transfer_id = $1;
