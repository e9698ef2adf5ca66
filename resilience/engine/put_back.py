"""Put back into a vault what the operator once put into every one, where it was emptied or did not answer then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from resilience.errors import ResilienceError, VaultError
from resilience.ports import Vault
from resilience.replication import epoch as epochs
from resilience.replication import layout
from resilience.replication.epoch import each
from resilience.replication.seals import Verify

KINDS = (layout.EPOCH, layout.STATE, layout.VERIFIED, "tls/", "supplies/")
"""All but what `spread` gives (orders), what is copied (pictures, ledger), and what a host's programs put."""
FILLED = ".filled"
"""Said of one vault alone."""


def put_back(vaults: Mapping[str, Vault], name: str, check: Verify) -> int:
    """Give this vault what the others list of that and it does not; how many objects. Epochs in their order, for ships look one number ahead."""
    listed = each(vaults, lambda vault: {key for kind in KINDS for key in vault.list(kind)})
    own = listed[name]
    if isinstance(own, ResilienceError):
        raise own
    told = {other: keys for other, keys in listed.items() if not isinstance(keys, ResilienceError)}
    lacking = sorted({key for keys in told.values() for key in keys if not key.endswith(FILLED)} - own)
    return sum(vaults[name].put_new(key, data) for key, data in _each(vaults, told, lacking, check))


def _each(
    vaults: Mapping[str, Vault], told: Mapping[str, set[str]], keys: list[str], check: Verify
) -> Iterator[tuple[str, bytes]]:
    for key in keys:
        number = layout.epoch_number(key)
        if number is None:
            yield key, _read([vaults[name] for name, listed in told.items() if key in listed], key)
        elif record := next(iter(epochs.numbered(vaults, number, check)), None):  # of several the one that counts
            yield key, epochs.encode(record)


def _read(holders: list[Vault], key: str) -> bytes:
    """From the first that gives it."""
    for data in each({vault.name: vault for vault in holders}, lambda vault: vault.get(key)).values():
        if isinstance(data, bytes):
            return data
    raise VaultError(
        f"{key} can't be put back", "no vault that lists it gives it", "Bring one back, and run this again."
    )
