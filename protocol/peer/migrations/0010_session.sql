-- Sessions of people who sign in on pages, and the language that they like to read.
ALTER TABLE access
    ADD browser text,
    ADD seen timestamptz,
    DROP CONSTRAINT access_kind_is_known,
    ADD CONSTRAINT access_kind_is_known CHECK (kind IN ('once', 'token', 'session')),
    ADD CONSTRAINT session_is_of_a_browser
        CHECK ((kind = 'session') = (browser IS NOT NULL AND seen IS NOT NULL));

ALTER TABLE person
    ADD language text,
    ADD CONSTRAINT language_is_ours CHECK (language IN ('nl', 'fr', 'en'));
