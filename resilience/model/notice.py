"""Notice: a vendor's letter that says by when the account ends, and perhaps which posts it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Notice:
    """One letter. Times are seconds since the Unix epoch."""

    vendor: str
    reference: str
    """What it is filed under: its message id, else a part of its hash."""
    subject: str
    sender: str
    sent_at: float | None
    received_at: float
    deadline_at: float
    posts: tuple[str, ...]
    """Addresses of our own pages that it names, in its order, each once."""
    sha256: str
    """Of the letter as it came."""
    headers: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Notice:
        """From what `to_json` gave."""
        headers = tuple((str(name), str(value)) for name, value in data["headers"])
        return cls(**{**data, "posts": tuple(data["posts"]), "headers": headers})
