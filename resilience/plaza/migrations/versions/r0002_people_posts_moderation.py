"""Second factors, blocks, likes, edits, notifications; notices, decisions, appeals, holds; the mode."""

from pathlib import Path

from alembic import op

from resilience.plaza.errors import NoWayBack

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add tables, and columns with constant defaults: no table is written anew."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    """Going back would drop decisions and holds."""
    raise NoWayBack("what moderators decided, and what is held for a court")
