"""Persons' keys: texts sealed, keys that wait for their owners, and search beside the log.

What was written before is sealed by the server beside the traffic; `unsealed` says where that has still to be done.
"""

from pathlib import Path

from alembic import op

from resilience.plaza.errors import NoWayBack

revision = "0053"
down_revision = "0052"
IN_CLEAR = ("statuses_search", "accounts_search")
"""Indexes over words, which the log has in clear."""
ONE_OF_EACH = "media_profile"
"""A person has one avatar, one header, one key, and may have lost several."""


def upgrade() -> None:
    """Add columns without defaults and tables; change indexes beside the traffic. Done twice after a crash, it is no error."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())
    with op.get_context().autocommit_block():
        for name in IN_CLEAR:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {ONE_OF_EACH}")
        op.execute(
            f"CREATE UNIQUE INDEX CONCURRENTLY {ONE_OF_EACH} ON media (account_id, purpose) "
            "WHERE purpose NOT IN ('post', 'lost key')"
        )


def downgrade() -> None:
    """Texts are sealed by now, and nothing before this could open them."""
    raise NoWayBack("every text that is sealed with its author's key")
