"""The line of people who sign up."""

from pathlib import Path

from alembic import op

revision = "0050"
down_revision = "0003"


def upgrade() -> None:
    """Add the line."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Whoever waits would be lost."""
    raise NotImplementedError("People wait in this table; restore a copy instead.")
