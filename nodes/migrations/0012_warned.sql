-- Of which limit of the group's the treasurer was called: one row; null: that is over.
CREATE TABLE warned (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    limit_name text,
    at timestamptz NOT NULL,
    CONSTRAINT warned_limit_is_known CHECK (limit_name IN ('floor', 'ceiling'))
);
