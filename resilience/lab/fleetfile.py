"""The lab's own `fleet.toml`."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.lab import places
from resilience.lab.authorities import directory_url

HEAD = """\
# The lab's fleet: five vendors on this machine. Written by `resilience lab up`; removed with the lab.

[fleet]
name = "plaza"
app = "plaza"
kit = "kit"
lab = true

[promise]
rto_s = 90
rpo_s = 2
human_decide_s = 300

[replication]
k = 2
s = 2
durability = "async"
spacing_ms = 200
lease_s = 5
"""


def text(*, tls: bool = False) -> str:
    """The file: sites acorn, birch, cedar; vaults never at the primary's vendor; with `tls` the name is served by HTTPS."""
    parts = [HEAD, _names(), *(_authorities() if tls else ()), *map(_vendor, places.VENDORS), *_sites(), *_vaults()]
    return "\n".join(parts)


def _names() -> str:
    lines = ["[names]", f'host = "{places.NAME}"', f"ttl_s = {places.NAME_TTL_S}"]
    lines += [f'registrar = "{places.REGISTRY.name}"', ""]
    for name in (*places.NAME_VENDORS, places.SPARE_NAME_VENDOR):
        vendor = places.place(name)
        endpoint = f"http://{vendor.dns_address}:{places.DNS_API_PORT}"
        lines += ["[[names.zone]]", f'vendor = "{name}"', 'kind = "powerdns"', f'endpoint = "{endpoint}"']
        lines += [f'nameservers = ["{places.nameserver(vendor)}"]']
        lines += ["spare = true", ""] if name == places.SPARE_NAME_VENDOR else [""]
    return "\n".join(lines)


def _authorities() -> Iterator[str]:
    for name, address in places.AUTHORITIES.items():
        yield f'[[names.authority]]\nname = "{name}"\ndirectory = "{directory_url(address, 443)}"\n'


def _vendor(vendor: places.Place) -> str:
    lines = ["[[vendor]]", f'name = "{vendor.name}"']
    if vendor.account:
        lines.append(f'account = "http://{vendor.account_address}"')
    lines.append(f'addresses = ["{vendor.network}"]')
    return "\n".join(lines) + "\n"


def _sites() -> list[str]:
    sites = []
    for vendor in places.VENDORS:
        if vendor.hosts:
            lines = ["[[site]]", f'name = "{vendor.name}"', f'vendor = "{vendor.name}"']
            lines.append(f'stack = "{"lab" if vendor.account else "baremetal"}"')
            if not vendor.account:
                lines.append(f'addresses = ["{vendor.host_address(0)}"]')
            sites.append("\n".join(lines) + "\n")
    return sites


def _vaults() -> list[str]:
    return [
        "\n".join(
            [
                "[[vault]]",
                f'name = "{vendor.name}"',
                f'vendor = "{vendor.name}"',
                f'kind = "{vendor.bucket}"',
                f'endpoint = "http://{vendor.bucket_address}"',
                f'bucket = "{places.VAULT_BUCKET}"',
                "",
            ]
        )
        for vendor in places.VENDORS
        if vendor.vault
    ]
