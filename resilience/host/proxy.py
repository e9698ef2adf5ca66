"""The proxy's configuration where the site has certificates: whom Caddy asks for one, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STORAGE = "/var/lib/resilience/tls"
"""Where Caddy keeps certificates, their keys and its accounts at authorities: what travels in the vaults."""
OWN_NAME = "site.internal"
"""What the operator calls the proxy at its address: certified by its own authority, whose root comes over SSH."""
ROOT = f"{STORAGE}/pki/authorities/local/root.crt"
SITE = "import /etc/resilience/site.caddy"


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority that Caddy asks."""

    directory: str
    root: str = ""
    """File with the root of an authority that the system does not know."""
    account: tuple[str, str] | None = None
    """Id and key by which an authority binds our account to one that we have there (EAB)."""


def caddyfile(host: str, issuers: Sequence[Issuer], ready_path: str, contact: str = "") -> str:
    """HTTPS by name, each authority asked when the one before it fails; by plain HTTP only the app's probe."""
    email = f"\temail {contact}\n" if contact else ""
    return (
        f"{{\n\tadmin off\n\tskip_install_trust\n{email}\tstorage file_system {STORAGE}\n"
        "\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n\n"
        f"{host} {{\n\ttls {{\n{''.join(map(_issuer, issuers))}\t}}\n\t{SITE}\n}}\n\n"
        f"{OWN_NAME} {{\n\ttls internal\n\t{SITE}\n}}\n\n"
        f":80 {{\n\thandle {ready_path} {{\n\t\treverse_proxy 127.0.0.1:8000\n\t}}\n"
        f"\thandle {{\n\t\tredir https://{host}{{uri}} 308\n\t}}\n}}\n"
    )


def _issuer(issuer: Issuer) -> str:
    lines = [f"dir {issuer.directory}"]
    if issuer.root:
        lines.append(f"trusted_roots {issuer.root}")
    if issuer.account:
        lines.append(f'eab "{issuer.account[0]}" "{issuer.account[1]}"')
    return "\t\tissuer acme {\n" + "".join(f"\t\t\t{line}\n" for line in lines) + "\t\t}\n"
