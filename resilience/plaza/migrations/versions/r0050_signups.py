"""The line of people who sign up."""

from pathlib import Path

from alembic import op

from resilience.plaza.errors import NoWayBack

revision = "0050"
down_revision = "0003"


def upgrade() -> None:
    """Add the line."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Whoever waits would be lost."""
    raise NoWayBack("everybody who waits in line")
