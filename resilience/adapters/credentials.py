"""Credentials of vendors, as their providers and SDKs read them from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from resilience.errors import MissingPart

NEEDED: Mapping[str, tuple[str, ...]] = {
    "aws": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gcp": ("GOOGLE_CREDENTIALS", "GOOGLE_PROJECT"),
    "hetzner": ("HCLOUD_TOKEN",),
    "openstack": ("OS_AUTH_URL", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET"),
}
"""Per stack: the variables without which its provider would ask nobody, or somebody else."""
LINE = re.compile(r"^(?:export\s+)?([A-Z][A-Z0-9_]*)=(.*)$")


def read(file: Path, stack: str) -> dict[str, str]:
    """The variables in `accounts/VENDOR.env`; MissingPart where a needed one is not there."""
    try:
        found = parse(file.read_text())
    except FileNotFoundError:
        found = {}
    if lacking := [name for name in NEEDED.get(stack, ()) if not found.get(name)]:
        raise MissingPart(
            f"The kit lacks {', '.join(lacking)} in {file.parent.name}/{file.name}.",
            f"The {stack} stack asks its vendor with them, and they are taken from the kit alone.",
            f"Write one NAME=value a line into {file}; docs/vendors/{stack}.md says how to get them and with which rights.",
        )
    return found


def parse(text: str) -> dict[str, str]:
    """NAME=value, one a line; quotes around a value and lines that begin with # are left out."""
    found = {}
    for line in text.splitlines():
        if said := LINE.match(line.strip()):
            value = said[2].strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[said[1]] = value[1:-1] if quoted else value
    return found
