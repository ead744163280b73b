-- When this server last audited itself by itself, so that no start forgets a night.
CREATE TABLE newest_audit (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    at timestamptz NOT NULL,
    findings bigint NOT NULL
);
