-- create_migration --
-- The table that tells which migrations this database has had.
CREATE TABLE IF NOT EXISTS migration (
    package text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT migration_runs_once PRIMARY KEY (package, number)
);

-- read_migrations --
-- Every migration that this database has had, in the order of its package.
SELECT package, number, name, checksum
  FROM migration
 ORDER BY package, number;

-- insert_migration --
-- Record a migration, in the very database transaction that ran it.
INSERT INTO migration (package, number, name, checksum, at)
VALUES ($1, $2, $3, $4, $5);
