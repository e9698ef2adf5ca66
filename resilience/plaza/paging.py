"""Paging by id, as Mastodon's clients do it: max_id, since_id, min_id, limit and a Link header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from resilience.plaza.errors import Refused
from resilience.plaza.ids import parse_id


@dataclass(frozen=True, slots=True)
class Page:
    """Which slice of a list, newest first."""

    limit: int = 20
    max_id: int | None = None
    since_id: int | None = None
    min_id: int | None = None

    @property
    def bounds(self) -> dict[str, int]:
        """Exclusive bounds for SQL."""
        lower = max(self.since_id or 0, self.min_id or 0)
        return {"below": self.max_id or (1 << 63) - 1, "above": lower}

    @property
    def upwards(self) -> bool:
        """Whether the slice is the one right above min_id."""
        return self.min_id is not None


def read_page(params: Mapping[str, str], default: int = 20, largest: int = 40) -> Page:
    """The page that a request asks for."""
    raw = params.get("limit") or str(default)
    if not raw.isascii() or not raw.isdigit():
        raise Refused(422, "limit must be a number")
    return Page(
        limit=min(max(int(raw[:6]), 1), largest),
        max_id=_bound(params, "max_id"),
        since_id=_bound(params, "since_id"),
        min_id=_bound(params, "min_id"),
    )


def link_header(url: str, params: Mapping[str, str], ids: Sequence[int], page: Page) -> str:
    """`next` for older and `prev` for newer; empty where there is nothing to go on from."""
    if not ids:
        return ""
    kept = {k: v for k, v in params.items() if k not in ("max_id", "since_id", "min_id", "limit")}
    kept["limit"] = str(page.limit)
    links = []
    if len(ids) >= page.limit:
        links.append(f'<{url}?{urlencode({**kept, "max_id": ids[-1]})}>; rel="next"')
    links.append(f'<{url}?{urlencode({**kept, "min_id": ids[0]})}>; rel="prev"')
    return ", ".join(links)


def _bound(params: Mapping[str, str], name: str) -> int | None:
    return parse_id(params[name]) if params.get(name) else None
