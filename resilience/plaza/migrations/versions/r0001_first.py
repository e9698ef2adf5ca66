"""Accounts, posts, pictures, follows, reports, tokens and the ledger's mirror."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """There is nothing before the first revision."""
    raise NotImplementedError("The first revision can't be taken back; restore a copy instead.")
