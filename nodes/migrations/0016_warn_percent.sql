-- From which share of a limit on the treasurer is warned, where she has set it: one row.
CREATE TABLE warn_percent (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    percent integer NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT warn_percent_is_a_share CHECK (percent BETWEEN 1 AND 100)
);
