"""scripts/bench takeover: what a hot standby looks through when it takes over, as the chunks since its snapshot grow.

Vaults are in memory: all of it is this host's own work. "Anew" looks at every signature again, as a host would that
does not know what it looked at while it followed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout, seals
from resilience.replication.chunk import Header
from resilience.replication.gather import Gathered
from resilience.replication.objects import Place, keep

WAL = 8 << 10
"""Bytes of WAL in a chunk."""
BODY = 3000
"""Bytes of a chunk's body: what a busy site's chunk of 200 ms takes, packed and encrypted."""
NAMES = ("birch", "cedar", "elm")


def main() -> int:
    """Measure each number, print the table, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench takeover", description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    parser.add_argument("--json", type=Path, help="figures also into this file")
    args = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}\n\n| chunks | anew s | as it takes over s | ratio |\n|---|---|---|---|")
    figures: dict[str, float] = {}
    for count in args.chunks:
        with tempfile.TemporaryDirectory(prefix="resilience-bench-") as folder:
            anew, known = measure(count, Path(folder))
        print(f"| {count:,} | {anew:.2f} | {known:.2f} | {known / anew:.2f} |", flush=True)
        figures |= {f"{count}: anew_s": anew, f"{count}: takeover_s": known}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


def measure(count: int, folder: Path) -> tuple[float, float]:
    """Seconds to walk a chain that is all here: with every signature, and without those that were looked at."""
    key = Ed25519PrivateKey.generate()
    record = EpochRecord(1, "acorn", "nonce", 0, NAMES, 2, 2, 1.0, seals.public_hex(key), "")
    vaults = {name: MemoryVault(name) for name in NAMES}
    for number in range(count):
        body = os.urandom(BODY)
        start, sha = number * WAL, hashlib.sha256(body).hexdigest()
        header = Header(1, "nonce", "acorn", 1, "42", start, start + WAL, start, 1.0, sha)
        data = chunk.encode(header, body, seals.signer(key))
        keep(folder, header, data)
        for vault in vaults.values():
            vault.put_new(layout.chunk(1, start), data)
    return _walk(record, vaults, folder, Place()), _walk(record, vaults, folder, Place(1, (count - 1) * WAL))


def _walk(record: EpochRecord, vaults: Mapping[str, Vault], folder: Path, reached: Place) -> float:
    began = time.monotonic()
    Gathered(record, vaults, NAMES, folder, reached).walk(0, None, None, lambda *_: None)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
