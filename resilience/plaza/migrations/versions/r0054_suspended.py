"""Who is suspended: a list asks that of everybody who wrote, and read all accounts to learn that it is nobody."""

from alembic import op

revision = "0054"
down_revision = "0053"
INDEX = "accounts_suspended"


def upgrade() -> None:
    """Add an index beside the traffic; half-built by a crash, it is built anew."""
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(f"CREATE INDEX CONCURRENTLY {INDEX} ON accounts (id) WHERE suspended_at IS NOT NULL")


def downgrade() -> None:
    """Nobody's data is in it."""
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
