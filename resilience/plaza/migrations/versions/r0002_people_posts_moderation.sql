-- People.
ALTER TABLE accounts ADD COLUMN suspended_at timestamptz;

CREATE TABLE second_factors (
    account_id bigint PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    secret bytea NOT NULL,  -- sealed with a key that is not in the database
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0  -- so that no code counts twice
);
CREATE TABLE recovery_codes (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    PRIMARY KEY (account_id, code_hash)
);
-- Somebody whose password was right and whose code is still to come.
CREATE TABLE half_logins (
    token_hash bytea PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX half_logins_account ON half_logins (account_id);

CREATE TABLE blocks (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    target_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, target_id),
    CHECK (account_id <> target_id)
);
CREATE INDEX blocks_target ON blocks (target_id);
CREATE TABLE mutes (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    target_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    notifications boolean NOT NULL DEFAULT true,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, target_id),
    CHECK (account_id <> target_id)
);
CREATE INDEX mutes_target ON mutes (target_id);

-- Posts.
ALTER TABLE statuses
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN hidden_at timestamptz,
    ADD COLUMN favourites_count integer NOT NULL DEFAULT 0;
CREATE TABLE status_edits (
    id bigint PRIMARY KEY,
    status_id bigint NOT NULL REFERENCES statuses ON DELETE CASCADE,
    text text NOT NULL,
    spoiler_text text NOT NULL,
    sensitive boolean NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX status_edits_status ON status_edits (status_id, id);
CREATE TABLE favourites (
    id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    status_id bigint NOT NULL REFERENCES statuses ON DELETE CASCADE,
    UNIQUE (account_id, status_id)
);
CREATE INDEX favourites_account ON favourites (account_id, id DESC);
CREATE INDEX favourites_status ON favourites (status_id, id);
CREATE TABLE bookmarks (
    id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    status_id bigint NOT NULL REFERENCES statuses ON DELETE CASCADE,
    UNIQUE (account_id, status_id)
);
CREATE INDEX bookmarks_account ON bookmarks (account_id, id DESC);
CREATE INDEX bookmarks_status ON bookmarks (status_id);
CREATE TABLE mentions (
    status_id bigint NOT NULL REFERENCES statuses ON DELETE CASCADE,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    PRIMARY KEY (status_id, account_id)
);
CREATE INDEX mentions_account ON mentions (account_id);
CREATE TABLE notifications (
    id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    kind text NOT NULL,
    from_account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    status_id bigint REFERENCES statuses ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notifications_account ON notifications (account_id, id DESC);
CREATE INDEX notifications_from ON notifications (from_account_id);
CREATE INDEX notifications_status ON notifications (status_id) WHERE status_id IS NOT NULL;
CREATE TABLE markers (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    timeline text NOT NULL,
    last_read_id bigint NOT NULL,
    version integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, timeline)
);

CREATE FUNCTION count_favourite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE statuses SET favourites_count = favourites_count + 1 WHERE id = NEW.status_id;
    ELSE
        UPDATE statuses SET favourites_count = favourites_count - 1 WHERE id = OLD.status_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_favourite AFTER INSERT OR DELETE ON favourites
    FOR EACH ROW EXECUTE FUNCTION count_favourite();

-- Moderation.
CREATE TABLE notices (
    id bigint PRIMARY KEY,
    vendor text NOT NULL,
    reference text NOT NULL,
    letter text NOT NULL DEFAULT '',
    due_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (vendor, reference)
);
-- What a letter names, as it names it, whether or not there is such a post.
CREATE TABLE notice_posts (
    notice_id bigint NOT NULL REFERENCES notices ON DELETE CASCADE,
    position integer NOT NULL,
    given text NOT NULL,
    status_id bigint,
    PRIMARY KEY (notice_id, position)
);
ALTER TABLE reports
    ADD COLUMN notice_id bigint REFERENCES notices ON DELETE CASCADE,
    ADD COLUMN due_at timestamptz,
    ADD COLUMN claimed_at timestamptz,
    ADD COLUMN rule_ids text[] NOT NULL DEFAULT '{}';
CREATE INDEX reports_notice ON reports (notice_id) WHERE notice_id IS NOT NULL;
CREATE INDEX reports_due ON reports (coalesce(due_at, 'infinity'), id) WHERE action_taken_at IS NULL;

CREATE TABLE decisions (
    id bigint PRIMARY KEY,
    report_id bigint REFERENCES reports ON DELETE SET NULL,
    account_id bigint REFERENCES accounts ON DELETE CASCADE,
    status_id bigint,  -- not a reference: it outlives the post
    action text NOT NULL CHECK (action IN ('keep', 'hide', 'takedown', 'suspend')),
    rule text NOT NULL,
    reason text NOT NULL,
    moderator_id bigint REFERENCES accounts ON DELETE SET NULL,
    seq integer,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX decisions_account ON decisions (account_id, id DESC);
CREATE INDEX decisions_status ON decisions (status_id) WHERE status_id IS NOT NULL;
CREATE INDEX decisions_report ON decisions (report_id);
CREATE INDEX decisions_day ON decisions (created_at);
CREATE TABLE appeals (
    id bigint PRIMARY KEY,
    decision_id bigint NOT NULL UNIQUE REFERENCES decisions ON DELETE CASCADE,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    outcome text CHECK (outcome IN ('upheld', 'overturned')),
    answer text NOT NULL DEFAULT '',
    decided_by bigint REFERENCES accounts ON DELETE SET NULL,
    decided_at timestamptz
);
CREATE INDEX appeals_open ON appeals (id) WHERE decided_at IS NULL;
CREATE INDEX appeals_account ON appeals (account_id);

-- What a court may ask for later. Sealed for a key that no site has; no page and no route reads it.
CREATE SCHEMA hold;
CREATE TABLE hold.items (
    id bigint PRIMARY KEY,
    status_id bigint NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX hold_status ON hold.items (status_id);

-- Open to writers, or to readers and moderators only. It moves with the database.
CREATE TABLE site_mode (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    mode text NOT NULL DEFAULT 'open' CHECK (mode IN ('open', 'read-only')),
    why text NOT NULL DEFAULT '',
    since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO site_mode DEFAULT VALUES;
