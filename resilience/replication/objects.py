"""Chunks' objects as a host keeps them: to put them again, and to read them once."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from resilience.replication.chunk import Header
from resilience.replication.config import made_anew

NAME = re.compile(r"[0-9]{8}-[0-9A-F]{16}-[0-9A-F]{16}-[0-9a-f]{16}")


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """How far a host got: the epoch, and the position in its WAL."""

    epoch: int = 0
    position: int = 0


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """The epoch of a kept object, and from where to where its WAL goes."""

    epoch: int
    start: int
    end: int

    @classmethod
    def of(cls, name: str) -> Span:
        """As the object's name tells."""
        epoch, start, end, _ = name.split("-")
        return cls(int(epoch), int(start, 16), int(end, 16))


def is_object(name: str) -> bool:
    """Whether a file is a chunk's object, by its name; what else lies there somebody else put, or is half written."""
    return NAME.fullmatch(name) is not None


def ends(path: Path) -> Place:
    """Up to where a kept object's WAL goes, by its name."""
    span = Span.of(path.name)
    return Place(span.epoch, span.end)


def object_path(folder: Path, header: Header) -> Path:
    """Where a chunk's object is kept on this host."""
    return folder / f"{header.epoch:08d}-{header.start:016X}-{header.end:016X}-{header.sha256[:16]}"


def keep(folder: Path, header: Header, data: bytes) -> None:
    """Keep a chunk's object, in one move."""
    path = object_path(folder, header)
    new = path.with_name(f".{path.name}.{threading.get_ident()}")
    with made_anew(new) as file:
        file.write(data)
    new.replace(path)
