"""Web Push: who wants to be told where, and what still has to be sent."""

from pathlib import Path

from alembic import op

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    """Add subscriptions and the queue."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Subscriptions can't be asked for again without their owners."""
    raise NotImplementedError("People subscribed in this table; restore a copy instead.")
