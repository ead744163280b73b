-- read_warned --
-- Of which limit the treasurer was called, where that still stands.
SELECT limit_name FROM warned WHERE limit_name IS NOT NULL;

-- write_warned --
-- Remember of which limit the treasurer was called, or that it is over.
INSERT INTO warned (limit_name, at) VALUES ($1, $2)
    ON CONFLICT (single) DO UPDATE
   SET limit_name = excluded.limit_name, at = excluded.at;
