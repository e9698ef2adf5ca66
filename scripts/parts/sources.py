"""Prints the machine's own Debian 12 package sources, one line each: its mirror, main only, nobody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SUITES = re.compile(r"^(bookworm|stable)(-updates|-security|/updates)?$")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def one_line(text: str) -> Iterator[tuple[str, str, list[str], str]]:
    """Read the old format: `deb [options] uri suite component…`."""
    for line in text.splitlines():
        found = re.match(r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>[^#]*)", line)
        if found:
            yield found["uri"], found["suite"], found["rest"].split(), found["options"] or ""


def paragraphs(text: str) -> Iterator[tuple[str, str, list[str], str]]:
    """Read the new format: paragraphs of `Key: value`."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields = {key.lower(): value for key, value in re.findall(r"(?m)^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", paragraph)}
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false"}:
            continue
        signed = f"signed-by={fields['signed-by']}" if "signed-by" in fields else ""
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield uri, suite, fields.get("components", "").split(), signed


def debian(folder: Path) -> list[str]:
    """Keep what Debian itself signs."""
    found = list(one_line(folder.joinpath("sources.list").read_text())) if (folder / "sources.list").exists() else []
    for path in sorted(folder.glob("sources.list.d/*")):
        if path.suffix == ".list":
            found += one_line(path.read_text())
        elif path.suffix == ".sources":
            found += paragraphs(path.read_text())
    lines = {
        f"deb [signed-by={KEYRING}] {uri} {suite} main"
        for uri, suite, components, options in found
        if SUITES.match(suite) and "main" in components and not uri.startswith("cdrom:")
        if "signed-by" not in options or "debian-archive" in options
    }
    return sorted(lines)


if __name__ == "__main__":
    for line in debian(Path("/etc/apt")):
        print(line)
