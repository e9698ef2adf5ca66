-- Texts, sealed with their author's key; null: in clear in the columns beside it, as before, until the server has sealed them.
ALTER TABLE accounts ADD COLUMN IF NOT EXISTS key_sha256 text, ADD COLUMN IF NOT EXISTS sealed bytea;
ALTER TABLE statuses ADD COLUMN IF NOT EXISTS sealed bytea;
ALTER TABLE status_edits ADD COLUMN IF NOT EXISTS sealed bytea;
ALTER TABLE media ADD COLUMN IF NOT EXISTS sealed bytea;
ALTER TABLE reports ADD COLUMN IF NOT EXISTS sealed bytea;
ALTER TABLE appeals ADD COLUMN IF NOT EXISTS sealed bytea;
ALTER TABLE statuses ALTER COLUMN sealed SET STATISTICS 0;
ALTER TABLE status_edits ALTER COLUMN sealed SET STATISTICS 0;
ALTER TABLE statuses ALTER COLUMN text SET DEFAULT '';
ALTER TABLE status_edits ALTER COLUMN text SET DEFAULT '', ALTER COLUMN spoiler_text SET DEFAULT '';
ALTER TABLE appeals ALTER COLUMN text SET DEFAULT '';

-- A person's key is one more medium.
ALTER TABLE media DROP CONSTRAINT IF EXISTS media_purpose_check;
ALTER TABLE media ADD CONSTRAINT media_purpose_check CHECK (purpose IN ('post', 'avatar', 'header', 'key', 'lost key')) NOT VALID;
-- Unlogged: no copy and no restore offers one that was taken since.
CREATE UNLOGGED TABLE IF NOT EXISTS ready_keys (
    id bigint PRIMARY KEY,
    sha256 text NOT NULL UNIQUE
);
-- Tables that still have texts in clear, and how far the server came.
CREATE TABLE IF NOT EXISTS unsealed (
    name text PRIMARY KEY,
    after bigint NOT NULL DEFAULT 0
);
INSERT INTO unsealed (name) SELECT 'statuses' WHERE EXISTS (SELECT FROM statuses) ON CONFLICT DO NOTHING;
INSERT INTO unsealed (name) SELECT 'status_edits' WHERE EXISTS (SELECT FROM status_edits) ON CONFLICT DO NOTHING;
INSERT INTO unsealed (name) SELECT 'media' WHERE EXISTS (SELECT FROM media) ON CONFLICT DO NOTHING;
INSERT INTO unsealed (name) SELECT 'accounts' WHERE EXISTS (SELECT FROM accounts) ON CONFLICT DO NOTHING;
INSERT INTO unsealed (name) SELECT 'reports' WHERE EXISTS (SELECT FROM reports) ON CONFLICT DO NOTHING;
INSERT INTO unsealed (name) SELECT 'appeals' WHERE EXISTS (SELECT FROM appeals) ON CONFLICT DO NOTHING;

-- Words, for search alone. Unlogged: never in the log, never in a snapshot, empty after a crash or a promotion; and no
-- statistics, which Postgres would keep in a table that is logged.
CREATE UNLOGGED TABLE IF NOT EXISTS search_posts (
    id bigint PRIMARY KEY,
    words tsvector NOT NULL
);
CREATE INDEX IF NOT EXISTS search_posts_words ON search_posts USING gin (words);
ALTER TABLE search_posts ALTER COLUMN words SET STATISTICS 0;
CREATE UNLOGGED TABLE IF NOT EXISTS search_people (
    id bigint PRIMARY KEY,
    words tsvector NOT NULL
);
CREATE INDEX IF NOT EXISTS search_people_words ON search_people USING gin (words);
ALTER TABLE search_people ALTER COLUMN words SET STATISTICS 0;
-- How far down the words are there: 0 when all are.
CREATE UNLOGGED TABLE IF NOT EXISTS search_filled (
    name text PRIMARY KEY,
    below bigint NOT NULL
);

CREATE OR REPLACE FUNCTION forget_post() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM search_posts WHERE id = OLD.id;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER forget_post AFTER DELETE ON statuses FOR EACH ROW EXECUTE FUNCTION forget_post();
CREATE OR REPLACE FUNCTION forget_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM search_people WHERE id = OLD.id;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER forget_person AFTER DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION forget_person();
