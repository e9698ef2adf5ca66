"""Accounts, posts, pictures, follows, reports, tokens and the ledger's mirror."""

from pathlib import Path

from alembic import op

from resilience.plaza.errors import NoWayBack

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """There is nothing before the first revision."""
    raise NoWayBack("everything there is")
