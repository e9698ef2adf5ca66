"""What users post in drills: real texts and real pictures that Debian packages carry."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from resilience import caches
from resilience.errors import MissingPart

PICTURES = {"small": 200, "medium": 5_000}
"""Distinct pictures by size of the drill."""
CROP = (800, 600)
MORE = 2
"""So many times more crops are made than are wanted: where a picture is plain, some are the same."""
SMALLEST_BYTES = 60_000
"""Below that a file is an icon or a pattern, not a picture somebody would post."""


def prepare_material(directory: Path, size: str) -> None:
    """Let `directory` hold `texts` (one a paragraph, % between) and `pictures/`; cached."""
    cached = material_of(size)
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.unlink(missing_ok=True)
    directory.symlink_to(cached, target_is_directory=True)


def material_of(size: str) -> Path:
    """The folder in the cache with what a drill of this size posts; made once, named by what it is made of."""
    count = PICTURES[size]
    tools = caches.tools()
    version = hashlib.sha256(f"{tools.parent.name} {count} {CROP} distinct".encode()).hexdigest()[:12]
    final = caches.home() / "material" / version
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
    try:
        _texts(tools, new / "texts")
        _pictures(tools, new / "pictures", count)
        new.rename(final)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return final


def _texts(tools: Path, target: Path) -> None:
    files = sorted(f for f in (tools / "usr/share/games/fortunes").iterdir() if f.suffix == "")
    found = [part for f in files for part in f.read_text("utf-8", "replace").split("\n%\n")]
    _require(len(found), 1000, "texts")
    target.write_text("\n%\n".join(text.strip() for text in found))


def _pictures(tools: Path, target: Path, count: int) -> None:
    sources = sorted(
        path
        for kind in ("*.jpg", "*.jpeg", "*.png", "*.webp")
        for path in {p.resolve() for p in (tools / "usr/share").rglob(kind)}
        if path.is_file() and path.stat().st_size >= SMALLEST_BYTES
    )
    _require(len(sources), 20, "pictures")
    target.mkdir()
    each = -(-count * MORE // len(sources))
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(partial(_crops, each, target), sources, range(len(sources))))
    seen: set[bytes] = set()
    for crop in sorted(target.iterdir()):
        digest = hashlib.sha256(crop.read_bytes()).digest()
        if digest in seen or len(seen) == count:
            crop.unlink()
        else:
            seen.add(digest)
    _require(len(seen), count, "distinct crops of pictures")


def _crops(each: int, target: Path, source: Path, number: int) -> None:
    """Crops of one picture, left to right; none of a file that is no picture."""
    try:
        with Image.open(source) as opened:
            opened.draft("RGB", (CROP[0] * 3, CROP[1] * 3))
            wide = ImageOps.fit(opened.convert("RGB"), (CROP[0] * 2, CROP[1]))
    except (UnidentifiedImageError, OSError):
        return
    step = CROP[0] // max(1, each)
    for i in range(each):
        crop = wide.crop((i * step, 0, i * step + CROP[0], CROP[1]))
        crop.save(target / f"{i:03d}-{number:03d}.jpg", quality=85)


def _require(found: int, least: int, what: str) -> None:
    if found < least:
        raise MissingPart(
            f"Only {found} {what} are there, {least} are needed.",
            "They come from Debian packages in the tools cache, which seems to be incomplete.",
            "Run scripts/bootstrap again.",
        )
