"""Google's credentials, which by themselves ask a second address of Google's for regions, in threads of their own."""

from __future__ import annotations

from typing import Any


def quiet(credentials: Any) -> None:
    """Ask the addresses that are meant, and no other: what follows a vendor's death may not call it."""
    credentials._is_regional_access_boundary_lookup_required = lambda: False  # noqa: SLF001 - no option for it
