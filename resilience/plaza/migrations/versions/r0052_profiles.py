"""Profiles: avatar, header, fields."""

from alembic import op

from resilience.plaza.errors import NoWayBack

revision = "0052"
down_revision = "0051"
INDEX = "media_profile"


def upgrade() -> None:
    """Add columns, whose defaults are constants, and one index beside the traffic; half-built by a crash, it is built anew."""
    op.execute("ALTER TABLE accounts ADD COLUMN IF NOT EXISTS avatar text, ADD COLUMN IF NOT EXISTS header text")
    op.execute("ALTER TABLE accounts ADD COLUMN IF NOT EXISTS fields jsonb NOT NULL DEFAULT '[]'")
    op.execute(
        "ALTER TABLE media ADD COLUMN IF NOT EXISTS purpose text NOT NULL DEFAULT 'post' "
        "CHECK (purpose IN ('post', 'avatar', 'header'))"
    )
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON media (account_id, purpose) WHERE purpose <> 'post'")


def downgrade() -> None:
    """People chose these."""
    raise NoWayBack("avatars, headers and fields of profiles")
