"""Keyrings: many keys in one file, so that a new site has them all after few reads.

A ring is one more medium, nobody's own; each key says which ring it lies in.
"""

from alembic import op

from resilience.plaza.errors import NoWayBack

revision = "0056"
down_revision = "0055"
INDEXES = {
    "media_ring": "(ring) WHERE ring IS NOT NULL",
    "media_loose_keys": "(id) WHERE purpose = 'key' AND ring IS NULL",
    "media_keyrings": "(id) WHERE purpose = 'keyring'",
}
CONSTRAINTS = {
    "media_purpose_check": "CHECK (purpose IN ('post', 'avatar', 'header', 'key', 'lost key', 'keyring'))",
    "media_owner_check": "CHECK (account_id IS NOT NULL OR purpose = 'keyring')",
    "media_ring_fkey": "FOREIGN KEY (ring) REFERENCES media ON DELETE SET NULL",
}


def upgrade() -> None:
    """Add a column without a default, then indexes beside the traffic, then rules that look at new rows alone."""
    op.execute("ALTER TABLE media ADD COLUMN IF NOT EXISTS ring bigint, ALTER COLUMN account_id DROP NOT NULL")
    with op.get_context().autocommit_block():
        for name, what in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON media {what}")
    for name, rule in CONSTRAINTS.items():
        op.execute(f"ALTER TABLE media DROP CONSTRAINT IF EXISTS {name}")
        op.execute(f"ALTER TABLE media ADD CONSTRAINT {name} {rule} NOT VALID")


def downgrade() -> None:
    """Whoever erases an account has to know where its key lies."""
    raise NoWayBack("which keyring each key lies in")
