"""Letters that were refused: how often, and when they are tried again."""

from alembic import op

revision = "0055"
down_revision = "0054"
INDEX = "signups_letters"


def upgrade() -> None:
    """Add columns, whose defaults are the same for every row there is, and an index beside the traffic in place of one."""
    op.execute("ALTER TABLE signups ADD COLUMN IF NOT EXISTS mail_tries integer NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE signups ADD COLUMN IF NOT EXISTS mail_due timestamptz NOT NULL DEFAULT now()")
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX} ON signups (mail_due, id) "
            "WHERE state = 'unconfirmed' AND mailed_at IS NULL"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS signups_unmailed")


def downgrade() -> None:
    """Nothing that people did: refused letters are tried anew."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS signups_unmailed")
        op.execute(
            "CREATE INDEX CONCURRENTLY signups_unmailed ON signups (id) "
            "WHERE state = 'unconfirmed' AND mailed_at IS NULL"
        )
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
    op.execute("ALTER TABLE signups DROP COLUMN mail_tries, DROP COLUMN mail_due")
