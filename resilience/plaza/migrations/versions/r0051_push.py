"""Web Push: who wants to be told where, and what still has to be sent."""

from pathlib import Path

from alembic import op

from resilience.plaza.errors import NoWayBack

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    """Add subscriptions and the queue."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Subscriptions can't be asked for again without their owners."""
    raise NoWayBack("subscriptions, which only their owners could make again")
