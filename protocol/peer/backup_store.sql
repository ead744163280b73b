-- read_tables --
-- Every table of this schema with its columns, and the tables that it refers to. What
-- PostgreSQL computes itself is not copied, and migrations are run, not copied.
SELECT class.relname AS name,
       pg_table_size(class.oid) AS octets,
       array_agg(attribute.attname::text ORDER BY attribute.attnum) AS columns,
       ARRAY(SELECT target.relname::text
               FROM pg_constraint
               JOIN pg_class AS target ON target.oid = pg_constraint.confrelid
              WHERE pg_constraint.conrelid = class.oid
                AND pg_constraint.contype = 'f'
                AND pg_constraint.confrelid <> class.oid) AS needs
  FROM pg_class AS class
  JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid
 WHERE class.relnamespace = current_schema()::regnamespace
   AND class.relkind = 'r'
   AND class.relname <> 'migration'
   AND attribute.attnum > 0 AND NOT attribute.attisdropped
   AND attribute.attgenerated = ''
 GROUP BY class.oid, class.relname
 ORDER BY class.oid;

-- read_sequences --
-- Every sequence of this schema, and where it stands; none stands at null before its
-- first number.
SELECT sequencename::text AS name, start_value, last_value
  FROM pg_sequences
 WHERE schemaname = current_schema()
 ORDER BY sequencename;

-- set_sequence --
-- Let a sequence of this schema go on behind a number, or begin with it.
SELECT setval(format('%I.%I', current_schema(), $1::text)::regclass, $2, $3);

-- count_relations --
-- How much stands in this schema: nothing, in a database that nobody has used.
SELECT count(*)
  FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace
   AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f');

-- make_scratch --
-- Make a schema for a trial, in a database transaction that will be undone.
CREATE SCHEMA interlets_scratch;

-- enter_scratch --
-- See the scratch schema alone, until this database transaction ends.
SET LOCAL search_path TO interlets_scratch;

-- write_analyses --
-- The statements that let PostgreSQL plan by what was just loaded, for this schema.
SELECT format('ANALYZE %I.%I', schemaname, tablename) AS statement
  FROM pg_tables
 WHERE schemaname = current_schema();

-- end_access --
-- End every session, token and one-time code: some were ended since the backup.
DELETE FROM access;

-- write_restored --
-- Mark this database as restored, until it has compared.
INSERT INTO restored (at, backup_at) VALUES ($1, $2)
    ON CONFLICT (single) DO UPDATE SET at = excluded.at, backup_at = excluded.backup_at;

-- read_restored --
-- When this database was restored, and its backup made, while it is marked.
SELECT at, backup_at FROM restored;

-- end_restored --
-- Take the mark away: it has compared, and nothing that crossed a link is missing.
DELETE FROM restored;
