-- One for each app or browser; it goes when its token or session goes.
CREATE TABLE push_subscriptions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    token_hash bytea UNIQUE REFERENCES oauth_tokens ON DELETE CASCADE,
    session_hash bytea UNIQUE REFERENCES sessions ON DELETE CASCADE,
    endpoint text NOT NULL,
    p256dh text NOT NULL,
    auth text NOT NULL,
    alerts text[] NOT NULL DEFAULT '{}',
    policy text NOT NULL DEFAULT 'all' CHECK (policy IN ('all', 'followed', 'follower', 'none')),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((token_hash IS NULL) <> (session_hash IS NULL))
);
CREATE INDEX push_subscriptions_account ON push_subscriptions (account_id);

CREATE TABLE push_queue (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id bigint NOT NULL REFERENCES push_subscriptions ON DELETE CASCADE,
    notification_id bigint NOT NULL REFERENCES notifications ON DELETE CASCADE,
    tries integer NOT NULL DEFAULT 0,
    due timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX push_queue_due ON push_queue (due);
CREATE INDEX push_queue_subscription ON push_queue (subscription_id);
CREATE INDEX push_queue_notification ON push_queue (notification_id);

-- Whatever tells somebody something on a page also queues it for their devices.
CREATE FUNCTION queue_push() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO push_queue (subscription_id, notification_id)
    SELECT p.id, NEW.id FROM push_subscriptions p
    WHERE p.account_id = NEW.account_id AND NEW.kind = ANY (p.alerts) AND (p.policy = 'all'
        OR (p.policy = 'followed' AND EXISTS
            (SELECT 1 FROM follows f WHERE f.account_id = NEW.account_id AND f.target_id = NEW.from_account_id))
        OR (p.policy = 'follower' AND EXISTS
            (SELECT 1 FROM follows f WHERE f.account_id = NEW.from_account_id AND f.target_id = NEW.account_id)));
    RETURN NULL;
END $$;
CREATE TRIGGER queue_push AFTER INSERT ON notifications FOR EACH ROW EXECUTE FUNCTION queue_push();
