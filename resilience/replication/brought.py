"""Brought: what restic left in a data directory, looked at before anybody writes or starts anything there.

Whoever has the primary may make a snapshot of any folder and sign a label for it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from resilience.errors import VaultError
from resilience.replication.config import unfinished

FOLDERS = ("global", "pg_wal")
"""What must be there, since something is put into it."""
LEFT_OUT = (
    "backup_label",
    "global/pg_control",
    "tablespace_map",
    "standby.signal",
    "recovery.signal",
    "postmaster.pid",
)
"""What no snapshot of ours has: Postgres obeys it, or it comes with the label."""
REPLACED = ("postgresql.auto.conf", "standby.signal", "resilience.json")
"""What is written anew, by another name first: no folder may have that."""
KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


def refuse_planted(pg: Path) -> None:
    """VaultError where anything lies in a data directory that no snapshot of ours holds; else nothing there runs as somebody else."""
    planted = [f"{path.relative_to(pg)} is {KINDS[kind]}" for path, kind in _strange(pg)]
    if not planted:
        planted = [*_out_of_place(pg)]
    if planted:
        others = f", and {len(planted) - 1} more are no better" if len(planted) > 1 else ""
        raise VaultError(
            f"This copy was not made by our snapshot: {planted[0]}{others}.",
            "What is written there next would go wherever somebody wants it. Whoever made it has the site's key and ship's credentials.",
            "Another vault or an older snapshot is used where there is one. Look at who was on the primary's host, and move the site.",
        )


def _strange(folder: Path) -> Iterator[tuple[Path, int]]:
    """What is neither file nor folder, and its kind; whatever is, loses the right to run as somebody else."""
    with os.scandir(folder) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            path = Path(entry.path)
            if stat.S_ISDIR(mode):
                yield from _strange(path)
            elif not stat.S_ISREG(mode):
                yield path, stat.S_IFMT(mode)
                continue
            if mode & SPECIAL:
                path.chmod(stat.S_IMODE(mode) & ~SPECIAL)


def _out_of_place(pg: Path) -> Iterator[str]:
    """Names that are missing, or of another kind, or that nobody but us gives."""
    yield from (f"{name} is no folder" for name in FOLDERS if not (pg / name).is_dir())
    yield from (f"{name} is there" for name in LEFT_OUT if (pg / name).exists())
    names = (path for name in REPLACED for path in (pg / name, unfinished(pg / name)))
    yield from (f"{path.name} is a folder" for path in names if path.is_dir())
