-- read_run --
-- What was brought in from another program, if anything.
SELECT digest, at, members, entries FROM import_run;

-- insert_run --
-- Remember for ever what was brought in; a group moves in once.
INSERT INTO import_run (digest, at, members, entries) VALUES ($1, $2, $3, $4);
