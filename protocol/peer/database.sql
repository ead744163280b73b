-- read_durability --
-- What this server does with a commit, and whether it is the one to write on; and
-- how this database keeps text.
SELECT current_setting('server_version_num')::integer / 10000 AS major,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('server_encoding') AS encoding,
       pg_is_in_recovery() AS is_standby;

-- try_clerk_lock --
-- Take the clerk's lock for this session if nobody has it; never waits.
SELECT pg_try_advisory_lock($1);
