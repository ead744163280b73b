-- read_warned --
-- Of which limit the treasurer was called, where that still stands.
SELECT limit_name FROM warned WHERE limit_name IS NOT NULL;

-- read_percent --
-- From which share of a limit on the treasurer is warned, if she has set it.
SELECT percent FROM warn_percent;

-- write_percent --
-- Keep from which share of a limit on the treasurer is warned.
INSERT INTO warn_percent (percent, at) VALUES ($1, $2)
    ON CONFLICT (single) DO UPDATE
   SET percent = excluded.percent, at = excluded.at;

-- write_warned --
-- Remember of which limit the treasurer was called, or that it is over.
INSERT INTO warned (limit_name, at) VALUES ($1, $2)
    ON CONFLICT (single) DO UPDATE
   SET limit_name = excluded.limit_name, at = excluded.at;
