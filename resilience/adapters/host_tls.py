"""What lets a site's proxy serve HTTPS: whom it asks for certificates, and those that came from the vaults."""

from __future__ import annotations

import time
from collections.abc import Mapping

from resilience.adapters.host_places import ETC
from resilience.adapters.kit import Kit
from resilience.host.proxy import Issuer, caddyfile
from resilience.host.spec import File
from resilience.model import Names
from resilience.ports import Vault
from resilience.replication import seals
from resilience.replication.travelling import newest

BUNDLE = f"{ETC}/certificates.json"


def tls_files(names: Names, kit: Kit, vaults: Mapping[str, Vault], verify: seals.Verify, ready_path: str) -> list[File]:
    """The proxy's files where the fleet names authorities; nothing where it serves plain HTTP."""
    if not names.authorities:
        return []
    roots, issuers = [], []
    for authority in names.authorities:
        root, account = kit.authority(authority.name)
        path = f"{ETC}/ca-{authority.name}.pem" if root else ""
        roots += [File(path, root)] if root else []
        issuers.append(Issuer(authority.directory, path, account))
    proxy = caddyfile(names.host, issuers, ready_path, names.contact)
    files = [*roots, File(f"{ETC}/Caddyfile", proxy, group="caddy", mode="640")]
    found = newest(vaults, verify, time.time())
    if found is not None and found.sealed.certificate.host == names.host:
        bundle = seals.decrypt(found.sealed.sealed, kit.identity()).decode()
        files.append(File(BUNDLE, bundle, mode="600"))
    return files
