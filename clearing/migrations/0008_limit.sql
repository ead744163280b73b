-- Changes of limits, caps and the threshold: who, when, why, each signed by the hub.
CREATE TABLE limit_change (
    number bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    about text NOT NULL,
    -- Whose limits, or who pays under the cap; none of the threshold.
    group_name text,
    -- Whom the cap lets be paid.
    payee_group text,
    signed text NOT NULL,
    CONSTRAINT limit_change_is_about_something_known
        CHECK (about IN ('limits', 'cap', 'warning')),
    CONSTRAINT limit_change_names_its_groups
        CHECK ((about = 'warning') = (group_name IS NULL)
               AND (about = 'cap') = (payee_group IS NOT NULL))
);
CREATE INDEX limit_change_of_pair ON limit_change (group_name, payee_group, number);
CREATE INDEX limit_change_of_payee ON limit_change (payee_group, number)
    WHERE payee_group IS NOT NULL;
CREATE INDEX limit_change_of_threshold ON limit_change (number) WHERE about = 'warning';
CREATE TRIGGER limit_change_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON limit_change
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Groups of whose limit people were called; null: that is over.
CREATE TABLE warned (
    group_name text PRIMARY KEY,
    limit_name text,
    at timestamptz NOT NULL,
    CONSTRAINT warned_limit_is_known CHECK (limit_name IN ('floor', 'ceiling'))
);
