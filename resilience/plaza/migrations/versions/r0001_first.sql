CREATE TABLE accounts (
    id bigint PRIMARY KEY,
    username text NOT NULL CHECK (username ~ '^[A-Za-z0-9_]{1,30}$'),
    email text,
    password_hash text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'moderator')),
    created_at timestamptz NOT NULL DEFAULT now(),
    followers_count integer NOT NULL DEFAULT 0,
    following_count integer NOT NULL DEFAULT 0,
    statuses_count integer NOT NULL DEFAULT 0,
    last_status_at date
);
CREATE UNIQUE INDEX accounts_username ON accounts (lower(username));
CREATE UNIQUE INDEX accounts_email ON accounts (lower(email)) WHERE email IS NOT NULL;

CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_account ON sessions (account_id);

CREATE TABLE apps (
    id bigint PRIMARY KEY,
    client_id text NOT NULL UNIQUE,
    secret_hash bytea NOT NULL,
    name text NOT NULL,
    website text,
    redirect_uris text[] NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE oauth_codes (
    code_hash bytea PRIMARY KEY,
    app_id bigint NOT NULL REFERENCES apps ON DELETE CASCADE,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    redirect_uri text NOT NULL,
    scopes text[] NOT NULL,
    challenge text,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_codes_account ON oauth_codes (account_id);

CREATE TABLE oauth_tokens (
    token_hash bytea PRIMARY KEY,
    app_id bigint NOT NULL REFERENCES apps ON DELETE CASCADE,
    account_id bigint REFERENCES accounts ON DELETE CASCADE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX oauth_tokens_account ON oauth_tokens (account_id);

CREATE TABLE statuses (
    id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    text text NOT NULL,
    spoiler_text text NOT NULL DEFAULT '',
    sensitive boolean NOT NULL DEFAULT false,
    visibility text NOT NULL DEFAULT 'public' CHECK (visibility IN ('public', 'unlisted', 'private')),
    language text,
    in_reply_to_id bigint REFERENCES statuses ON DELETE SET NULL,
    in_reply_to_account_id bigint REFERENCES accounts ON DELETE SET NULL,
    app_id bigint REFERENCES apps ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX statuses_account ON statuses (account_id, id DESC);
CREATE INDEX statuses_public ON statuses (id DESC) WHERE visibility = 'public' AND in_reply_to_id IS NULL;
CREATE INDEX statuses_replies ON statuses (in_reply_to_id, id) WHERE in_reply_to_id IS NOT NULL;
CREATE INDEX statuses_replied ON statuses (in_reply_to_account_id) WHERE in_reply_to_account_id IS NOT NULL;

CREATE TABLE media (
    id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    status_id bigint REFERENCES statuses ON DELETE CASCADE,
    position smallint NOT NULL DEFAULT 0,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    mime text NOT NULL,
    bytes integer NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    description text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX media_sha256 ON media (sha256);
CREATE INDEX media_status ON media (status_id, position) WHERE status_id IS NOT NULL;
CREATE INDEX media_waiting ON media (created_at) WHERE status_id IS NULL;
CREATE INDEX media_account ON media (account_id);

CREATE TABLE follows (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    target_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, target_id),
    CHECK (account_id <> target_id)
);
CREATE INDEX follows_target ON follows (target_id);

CREATE TABLE reports (
    id bigint PRIMARY KEY,
    account_id bigint REFERENCES accounts ON DELETE SET NULL,
    target_account_id bigint REFERENCES accounts ON DELETE SET NULL,
    status_ids bigint[] NOT NULL DEFAULT '{}',
    category text NOT NULL DEFAULT 'other',
    comment text NOT NULL DEFAULT '',
    assigned_account_id bigint REFERENCES accounts ON DELETE SET NULL,
    action_taken text,
    action_taken_at timestamptz,
    action_taken_by bigint REFERENCES accounts ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX reports_open ON reports (id) WHERE action_taken_at IS NULL;
CREATE INDEX reports_statuses ON reports USING gin (status_ids);

-- One row a key: whoever inserts it first posts, everybody else gets that post.
CREATE TABLE idempotency (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    key text NOT NULL,
    status_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- What of the ledger has been applied to this database. The files are the ledger; this mirrors them.
CREATE TABLE ledger (
    seq integer PRIMARY KEY,
    sha256 text NOT NULL,
    body bytea NOT NULL,
    action text NOT NULL,
    status_id bigint,
    account_id bigint,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_status ON ledger (status_id) WHERE status_id IS NOT NULL;
CREATE VIEW ledger_position AS SELECT coalesce(max(seq), 0) AS seq FROM ledger;

-- Counters, kept where rows change, so that no page counts.
CREATE FUNCTION count_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE accounts SET statuses_count = statuses_count + 1,
            last_status_at = greatest(last_status_at, (NEW.created_at AT TIME ZONE 'UTC')::date)
        WHERE id = NEW.account_id;
    ELSE
        UPDATE accounts SET statuses_count = statuses_count - 1 WHERE id = OLD.account_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_status AFTER INSERT OR DELETE ON statuses
    FOR EACH ROW EXECUTE FUNCTION count_status();

CREATE FUNCTION count_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    step integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    row follows := CASE TG_OP WHEN 'INSERT' THEN NEW ELSE OLD END;
BEGIN
    -- In one order, so that two people who follow each other at once don't wait for each other.
    PERFORM 1 FROM accounts WHERE id IN (row.account_id, row.target_id) ORDER BY id FOR NO KEY UPDATE;
    UPDATE accounts SET following_count = following_count + step WHERE id = row.account_id;
    UPDATE accounts SET followers_count = followers_count + step WHERE id = row.target_id;
    RETURN NULL;
END $$;
CREATE TRIGGER count_follow AFTER INSERT OR DELETE ON follows
    FOR EACH ROW EXECUTE FUNCTION count_follow();
