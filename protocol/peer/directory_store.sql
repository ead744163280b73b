-- read_changes --
-- All directory decisions, in the order they were taken.
SELECT sequence, line FROM directory_change ORDER BY sequence;

-- read_version --
-- How many directory decisions were taken.
SELECT count(*) FROM directory_change;

-- insert_changes --
-- Take directory decisions, behind those that are there.
INSERT INTO directory_change (sequence, group_name, line)
SELECT (SELECT coalesce(max(sequence), 0) FROM directory_change) + added.place,
       added.group_name, added.line
  FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY
    AS added (group_name, line, place);

-- insert_alarms --
-- Keep what people must look at.
INSERT INTO alarm (at, about, told)
SELECT $1, * FROM unnest($2::text[], $3::text[]);

-- read_alarms --
-- Alarms before a number, newest first.
SELECT alarm_id, at, about, told
  FROM alarm
 WHERE alarm_id < $2
 ORDER BY alarm_id DESC
 LIMIT $1;
