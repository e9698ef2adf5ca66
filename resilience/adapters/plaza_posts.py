"""Which words name a post of plaza's: its id, or its address there."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

ID = re.compile(r"[0-9]{1,19}")
PATH = re.compile(rf"/@\w+/({ID.pattern})/?")
LARGEST = (1 << 63) - 1


def post_id(named: str, host: str) -> str | None:
    """The id of the post that is named so, where the app is at `host`; None where this is no post's, be there one or not."""
    digits = named if ID.fullmatch(named) else _in_address(named, host)
    return None if digits is None or int(digits) > LARGEST else str(int(digits))


def _in_address(named: str, host: str) -> str | None:
    try:
        parts = urlsplit(named)
        ours = named.isprintable() and parts.scheme in {"http", "https"} and parts.hostname == host.lower()
    except ValueError:
        return None
    found = PATH.fullmatch(parts.path) if ours else None
    return found[1] if found else None
