-- Whoever signs up stands in line here until there is an account. The order of ids is the order of the line.
CREATE TABLE signups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_hash bytea NOT NULL UNIQUE,
    username text NOT NULL CHECK (username ~ '^[A-Za-z0-9_]{1,30}$'),
    email text,
    sealed bytea,
    password_hash text,
    token_hash bytea,
    confirm_hash bytea,
    mailed_at timestamptz,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'unconfirmed', 'done', 'refused')),
    account_id bigint REFERENCES accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'waiting') = (sealed IS NOT NULL)),
    CHECK ((state = 'unconfirmed') = (password_hash IS NOT NULL))
);
CREATE INDEX signups_line ON signups (id) WHERE state = 'waiting';
CREATE INDEX signups_unmailed ON signups (id) WHERE state = 'unconfirmed' AND mailed_at IS NULL;
CREATE UNIQUE INDEX signups_confirm ON signups (confirm_hash) WHERE confirm_hash IS NOT NULL;
CREATE UNIQUE INDEX signups_name ON signups (lower(username)) WHERE state IN ('waiting', 'unconfirmed');
CREATE UNIQUE INDEX signups_email ON signups (lower(email)) WHERE state IN ('waiting', 'unconfirmed');
CREATE INDEX signups_account ON signups (account_id);
CREATE INDEX signups_age ON signups (changed_at);
