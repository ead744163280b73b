-- That this database was restored from a backup and has not compared since: one row.
CREATE TABLE restored (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    at timestamptz NOT NULL,
    backup_at timestamptz NOT NULL
);
