"""The black hole: nothing of ours may call a dead vendor, and each attempt is counted by nftables.

An attempt is a new TCP connection, told from others by its source port however often the kernel repeats it, or a datagram.
What is sent on a connection that was open before gets nowhere, and is told apart: `used`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resilience.lab import network, places
from resilience.lab.processes import Home, run

TABLE = "rsl_blackhole"
PLACE = ("from", "vendor", "address", "port")
CALLS, USED = ("tcp_calls", "udp_calls", "other_calls"), "tcp_used"
_RULES = """
table inet {table}
delete table inet {table}
table inet {table} {{
  set dead {{ type ipv4_addr; flags interval; elements = {{ {networks} }} }}
  set tcp_calls {{ type ipv4_addr . inet_service . inet_service; size 65535; flags dynamic; counter; }}
  set tcp_used {{ type ipv4_addr . inet_service . inet_service; size 65535; flags dynamic; counter; }}
  set udp_calls {{ type ipv4_addr . inet_service; size 65535; flags dynamic; counter; }}
  set other_calls {{ type ipv4_addr . inet_proto; size 65535; flags dynamic; counter; }}
  chain output {{
    type filter hook output priority -200; policy accept;
    ip daddr != @dead accept
    tcp flags & (syn | ack | rst | fin) == syn update @tcp_calls {{ ip daddr . tcp dport . tcp sport }} drop
    tcp flags & (psh | fin | rst) == psh update @tcp_used {{ ip daddr . tcp dport . tcp sport }} drop
    meta l4proto tcp drop
    meta l4proto udp ct direction original update @udp_calls {{ ip daddr . udp dport }} drop
    meta l4proto != {{ tcp, udp }} ct direction original update @other_calls {{ ip daddr . ip protocol }} drop
    drop
  }}
}}
"""


def begin(directory: Path, vendors: Iterable[str], home: Home) -> None:
    """Drop what the operator and surviving hosts send to these vendors; count each connection that is attempted."""
    dead = sorted(set(vendors))
    _file(directory).write_text(json.dumps({"vendors": dead, "kept": []}))
    for space in _ours(set(dead)):
        _cover(space, dead, home)


def cover_new(directory: Path, space: str, home: Home) -> None:
    """A host that is made later is under the same rule before it boots."""
    if state := _state(directory):
        _cover(space, state["vendors"], home)


def calls(directory: Path) -> list[dict[str, Any]]:
    """Every attempt so far: {from, vendor, address, port, attempts}."""
    return _told(_counted(directory), "attempts")


def used(directory: Path) -> list[dict[str, Any]]:
    """What was sent so far on connections that were open before: {from, vendor, address, port, used}, in packets with data.

    The kernel repeats what was under way by itself, so these are no calls; nothing of it arrives, so none can be of use.
    """
    return _told(_counted(directory), "used")


def _told(counted: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """Places at which there was any of this, with that count alone."""
    return [{**{key: place[key] for key in PLACE}, what: place[what]} for place in counted if place[what]]


def _counted(directory: Path) -> list[dict[str, Any]]:
    state = _state(directory)
    if not state:
        return []
    found = list(state["kept"])
    for space in _ours(set(state["vendors"])):
        found += _read(space)
    return found


def complete(directory: Path) -> bool:
    """Whether the operator and every host that is left are really under the rule."""
    state = _state(directory)
    if not state:
        return False
    spaces = _ours(set(state["vendors"]))
    return places.OPERATOR_SPACE in spaces and all(_covered(space) for space in spaces)


def keep_counts(directory: Path, space: str) -> None:
    """Write down what a namespace counted before it is removed."""
    state = _state(directory)
    if state and network.exists(space) and _covered(space):
        state["kept"] += _read(space)
        _file(directory).write_text(json.dumps(state))


def _file(directory: Path) -> Path:
    return directory / "blackhole.json"


def _state(directory: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(_file(directory).read_text())
    except FileNotFoundError:
        return {}
    return state


def _ours(dead: set[str]) -> list[str]:
    """The operator's namespace, and those of hosts at vendors that are left."""
    hosts = network.spaces(places.HOST_SPACE)
    left = [space for space in hosts if space.removeprefix(places.HOST_SPACE).split("-")[0] not in dead]
    return [*([places.OPERATOR_SPACE] if network.exists(places.OPERATOR_SPACE) else []), *left]


def _cover(space: str, dead: list[str], home: Home) -> None:
    networks = ", ".join(places.place(name).network for name in dead)
    run(["nft", "-f", "-"], space=space, home=home, stdin=_RULES.format(table=TABLE, networks=networks))


def _covered(space: str) -> bool:
    return f"table inet {TABLE}" in run(["nft", "list", "tables"], space=space)


def _read(space: str) -> list[dict[str, Any]]:
    """What one namespace counted, by place, from nft's JSON."""
    listing = json.loads(run(["nft", "--json", "list", "table", "inet", TABLE], space=space))
    attempts: Counter[tuple[str, Any]] = Counter()
    used: Counter[tuple[str, Any]] = Counter()
    sets = {item["set"]["name"]: item["set"].get("elem", []) for item in listing["nftables"] if "set" in item}
    for name in (*CALLS, USED):
        for entry in (counted["elem"] for counted in sets[name]):
            (address, port, *_), packets = entry["val"]["concat"], entry["counter"]["packets"]
            if name == USED:
                used[address, port] += packets
            else:
                attempts[address, port] += 1 if name == "tcp_calls" else packets
    return [
        {
            "from": _who(space),
            "vendor": _vendor(address),
            "address": address,
            "port": port,
            "attempts": attempts[address, port],
            "used": used[address, port],
        }
        for address, port in sorted({**attempts, **used}, key=str)
    ]


def _who(space: str) -> str:
    return "operator" if space == places.OPERATOR_SPACE else space.removeprefix(places.HOST_SPACE)


def _vendor(address: str) -> str:
    number = int(address.split(".")[2])
    return next(vendor.name for vendor in places.VENDORS if vendor.number == number)
