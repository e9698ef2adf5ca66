"""Full text search. Indexes are built beside the traffic: nobody who writes waits for them."""

from alembic import op

revision = "0003"
down_revision = "0002"

INDEXES = {
    "statuses_search": "statuses USING gin (to_tsvector('simple', text || ' ' || spoiler_text))",
    "accounts_search": "accounts USING gin (to_tsvector('simple', username || ' ' || display_name))",
    "accounts_prefix": "accounts (lower(username) text_pattern_ops)",
}


def upgrade() -> None:
    """Build them; one that a crash left half-built is built anew."""
    with op.get_context().autocommit_block():
        for name, what in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {what}")


def downgrade() -> None:
    """Search goes, nothing else."""
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
