"""Network namespaces on one bridge: the lab's whole internet, with no way out of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from resilience.lab import places
from resilience.lab.processes import Home, run

SPACES = Path("/run/netns")
LISTENING = "0A"
"""A listening socket's state in the kernel's table."""
_OPEN_PORTS = """
table inet firewall {{
  chain input {{
    type filter hook input priority 0; policy drop;
    iif "lo" accept
    ct state established,related accept
    icmp type echo-request accept
    {rules}
  }}
}}
"""
_SILENT = """
table inet silent {
  chain input { type filter hook input priority -300; policy drop; }
  chain output { type filter hook output priority -300; policy drop; }
}
"""


def create(home: Home) -> None:
    """Make the bridge, and a namespace for the operator, the users, the resolver, the registry and each vendor."""
    make_space(places.BRIDGE_SPACE, home)
    run(
        ["ip", "-n", places.BRIDGE_SPACE, "-batch", "-"],
        home=home,
        stdin="link add bridge type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set bridge up\n",
    )
    attach(places.OPERATOR_SPACE, [places.OPERATOR], "operator", home)
    attach(places.USERS_SPACE, [places.USERS], "users", home)
    attach(places.RESOLVER_SPACE, [places.RESOLVER], "resolver", home)
    for vendor in (*places.VENDORS, places.REGISTRY):
        attach(vendor.space, vendor.service_addresses, vendor.name, home)
        _shut_ports(vendor, home)


def make_space(space: str, home: Home) -> None:
    """One network namespace with nothing in it, not even IPv6."""
    run(["ip", "netns", "add", space], home=home)
    quiet = "for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done 2>/dev/null; true"
    run(["sh", "-c", quiet], space=space, home=home)


def attach(space: str, addresses: Iterable[str], port: str, home: Home) -> None:
    """Make a namespace and connect it to the bridge with these addresses; `port` names the plug (15 letters)."""
    make_space(space, home)
    listed = list(addresses)
    run(
        ["ip", "-batch", "-"],
        home=home,
        stdin=f"link add {port} netns {places.BRIDGE_SPACE} type veth "
        f"peer name eth0 address {_card(listed[0])} netns {space}\n",
    )
    run(
        ["ip", "-n", places.BRIDGE_SPACE, "-batch", "-"],
        home=home,
        stdin=f"link set {port} master bridge\nlink set {port} up\n",
    )
    lines = ["link set lo up", "link set eth0 up"]
    lines += [f"addr add {address}/{places.MASK} dev eth0" for address in listed]
    run(["ip", "-n", space, "-batch", "-"], home=home, stdin="\n".join(lines) + "\n")


def _card(address: str) -> str:
    """The network card that answers for an address: always the same, so that nobody sends to one of a host before."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def _shut_ports(vendor: places.Place, home: Home) -> None:
    """Let nothing in but what this vendor sells: its programs open more ports than that."""
    rules = [f"ip daddr {address} tcp dport 80 accept" for address in (vendor.account_address, vendor.bucket_address)]
    rules += [f"ip daddr {vendor.dns_address} tcp dport {{ 53, {places.DNS_API_PORT} }} accept"]
    rules += [f"ip daddr {vendor.dns_address} udp dport 53 accept"]
    run(["nft", "-f", "-"], space=vendor.space, home=home, stdin=_OPEN_PORTS.format(rules="\n    ".join(rules)))


def silence(space: str, home: Home) -> None:
    """From now on this namespace neither hears nor says anything: its addresses are dead."""
    if exists(space):
        run(["nft", "-f", "-"], space=space, home=home, stdin=_SILENT)


def silence_address(space: str, address: str, home: Home) -> None:
    """From now on one address of this namespace is dead."""
    rules = f"""
table inet {_dead(address)} {{
  chain input {{ type filter hook input priority -300; ip daddr {address} drop; }}
  chain output {{ type filter hook output priority -300; ip saddr {address} drop; }}
}}
"""
    run(["nft", "-f", "-"], space=space, home=home, stdin=rules)


def revive(space: str, address: str, home: Home) -> None:
    """Nothing keeps this namespace, or this address of it, silent any more."""
    tables = run(["nft", "list", "tables", "inet"], space=space, home=home).split()
    for table in {"silent", _dead(address)} & set(tables):
        run(["nft", "delete", "table", "inet", table], space=space, home=home)


def _dead(address: str) -> str:
    return "dead_" + address.replace(".", "_")


def exists(space: str) -> bool:
    """Whether there is a namespace of this name."""
    return (SPACES / space).exists()


def spaces(prefix: str = places.PREFIX) -> list[str]:
    """Names of the lab's namespaces that are there."""
    return sorted(path.name for path in SPACES.glob(f"{prefix}*"))


def remove(space: str, home: Home) -> None:
    """Remove one namespace and its plug; no error when it is gone."""
    for _ in range(3):  # a name can be left without a namespace by a kill in the middle
        if not exists(space):
            return
        with suppress(Exception):
            run(["ip", "netns", "del", space], home=home)


def wait_for_port(space: str | None, address: str, port: int, wait_s: float) -> bool:
    """Wait until something listens at this address in this namespace (None: the machine's own), by the kernel's own table."""
    wanted = {f"{place}:{port:04X}" for place in (_hex(address), "0" * 8, "0" * 32)}
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        table = run(["cat", "/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"], space=space)
        for line in table.splitlines():
            fields = line.split()
            if fields[3] == LISTENING and fields[1] in wanted:
                return True
        time.sleep(0.05)
    return False


def _hex(address: str) -> str:
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
