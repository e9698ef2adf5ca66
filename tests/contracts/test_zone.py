"""What every zone promises, asked of the simulated one and of a real PowerDNS alike."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from itertools import count

import pytest

from resilience.adapters.powerdns import PowerDnsZone, ZoneUnchanged
from resilience.model import ZoneSpec
from resilience.ports import Zone
from resilience.simulation.state import State
from resilience.simulation.vendors import SimZone
from tests.name_server import KEY, NameServer, name_server

NAMES = (f"plaza{n}.test" for n in count(1))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    """One real name server for all tests here."""
    with name_server(tmp_path_factory.mktemp("dns") / "dover") as found:
        yield found


@pytest.fixture
def host(server: NameServer) -> str:
    """A name whose zone is served, with nothing in it yet."""
    name = next(NAMES)
    server.add_zone(name, {})
    return name


@pytest.fixture(params=["simulated", "powerdns"])
def zone(request: pytest.FixtureRequest, server: NameServer) -> Zone:
    """The port, on the fake and on the real thing."""
    return SimZone(State(), "dover") if request.param == "simulated" else PowerDnsZone(server.spec, KEY)


@pytest.fixture
def real(server: NameServer) -> PowerDnsZone:
    """The real thing."""
    return PowerDnsZone(server.spec, KEY)


def test_a_name_that_points_nowhere_has_no_addresses(zone: Zone, host: str) -> None:
    """No record is an empty answer, not an error."""
    assert zone.addresses(host) == ()


def test_a_name_points_where_it_was_pointed(zone: Zone, host: str) -> None:
    """What was set is read back, again and again, and replaced by the next."""
    for addresses in (("198.18.1.100",), ("198.18.1.100",), ("198.18.2.100",), ("198.18.2.100", "198.18.2.101")):
        zone.point(host, addresses, 30)
        assert zone.addresses(host) == addresses


def test_anybody_who_asks_is_told(server: NameServer, real: PowerDnsZone, host: str) -> None:
    """The address and its TTL are what the vendor's name server answers on port 53."""
    real.point(host, ("198.18.1.100",), 30)
    assert server.ask(host) == [("198.18.1.100", 30)]


def test_everything_else_stays(server: NameServer, real: PowerDnsZone) -> None:
    """Name servers, mail and other names of the zone are as they were."""
    name = next(NAMES)
    others = {
        (f"mail.{name}", "A"): ["192.0.2.25"],
        (name, "MX"): [f"10 mail.{name}."],
        (name, "TXT"): ['"v=spf1 mx -all"'],
        (f"_x.{name}", "CAA"): ['0 issue "ca.test"'],
    }
    server.add_zone(name, others)
    before = server.records(name)
    real.point(name, ("198.18.2.100",), 30)
    assert server.records(name) == before | {(f"{name}.", "A", 30, "198.18.2.100")}


def test_a_second_time_changes_nothing(server: NameServer, real: PowerDnsZone, host: str) -> None:
    """Pointing a name where it points already is no change: the serial stays."""
    real.point(host, ("198.18.2.100",), 30)
    serial = server.api("GET", f"zones/{host}.").json()["serial"]
    real.point(host, ("198.18.2.100",), 30)
    assert server.api("GET", f"zones/{host}.").json()["serial"] == serial


def test_a_new_ttl_is_a_change(server: NameServer, real: PowerDnsZone, host: str) -> None:
    """The declared TTL is served even where the address stays."""
    real.point(host, ("198.18.2.100",), 3600)
    real.point(host, ("198.18.2.100",), 30)
    assert server.ask(host) == [("198.18.2.100", 30)]


def test_nothing_points_at_the_old_site_any_more(server: NameServer, real: PowerDnsZone) -> None:
    """An IPv6 address or an alias of the same name would lead users back: it goes."""
    six, alias = next(NAMES), next(NAMES)
    server.add_zone(six, {(six, "AAAA"): ["2001:db8::1"]})
    server.add_zone(alias, {(f"www.{alias}", "CNAME"): ["acorn.example."]})
    real.point(six, ("198.18.2.100",), 30)
    real.point(f"www.{alias}", ("198.18.2.100",), 30)
    assert server.ask(six, "AAAA") == []
    assert server.ask(f"www.{alias}") == [("198.18.2.100", 30)]


def test_both_kinds_of_address(server: NameServer, real: PowerDnsZone, host: str) -> None:
    """A site may have both: each goes into its own record."""
    real.point(host, ("198.18.2.100", "2001:db8::2"), 30)
    assert server.ask(host, "AAAA") == [("2001:db8::2", 30)]
    assert real.addresses(host) == ("198.18.2.100", "2001:db8::2")


def test_the_safety_valve_does_not_stop_a_failover(server: NameServer, real: PowerDnsZone) -> None:
    """OctoDNS refuses to change 30 % of a zone; here all of a name's addresses change at once, and may."""
    name = next(NAMES)
    hosts = {(f"{word}.{name}", "A"): ["198.18.1.100"] for word in "abcdefghijkl"}
    server.add_zone(name, hosts)
    for word in "abcdefghijkl":
        real.point(f"{word}.{name}", ("198.18.2.100",), 30)
    assert all(server.ask(f"{word}.{name}") == [("198.18.2.100", 30)] for word in "abcdefghijkl")


def test_the_closest_zone_is_the_one(server: NameServer, real: PowerDnsZone) -> None:
    """Where both example.test and app.example.test are zones, the name is in the latter."""
    name = next(NAMES)
    server.add_zone(name, {})
    server.add_zone(f"app.{name}", {})
    real.point(f"www.app.{name}", ("198.18.2.100",), 30)
    assert (f"www.app.{name}.", "A", 30, "198.18.2.100") in server.records(f"app.{name}")


def test_a_name_in_no_zone_is_refused(server: NameServer, real: PowerDnsZone) -> None:
    """A name that only ends like a zone's is not in it; nothing is made up."""
    name = next(NAMES)
    server.add_zone(name, {})
    with pytest.raises(ZoneUnchanged, match="could not") as caught:
        real.point(f"other{name}", ("198.18.2.100",), 30)
    assert "serves no zone" in caught.value.why


def test_a_wrong_key_is_said(server: NameServer, host: str) -> None:
    """An API key the vendor refuses is named as the cause."""
    with pytest.raises(ZoneUnchanged, match="dover: could not move") as caught:
        PowerDnsZone(server.spec, "wrong").point(host, ("198.18.2.100",), 30)
    assert "401" in caught.value.why or "refused" in caught.value.why


def test_a_dead_vendor_is_said_at_once(host: str) -> None:
    """Nobody at the vendor's address is an error, not a wait."""
    began = time.monotonic()
    with pytest.raises(ZoneUnchanged, match="dover"):
        PowerDnsZone(ZoneSpec("dover", "powerdns", "http://127.0.0.1:9"), KEY).addresses(host)
    assert time.monotonic() - began < 3


def test_a_silent_vendor_is_given_up(host: str) -> None:
    """A vendor that takes the call and says nothing costs a few seconds, no more."""
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        zone = PowerDnsZone(ZoneSpec("dover", "powerdns", f"http://127.0.0.1:{mute.getsockname()[1]}"), KEY)
        with pytest.raises(ZoneUnchanged, match="dover"):
            zone.addresses(host)
    assert time.monotonic() - began < 8


def test_nothing_is_said_on_the_side(
    real: PowerDnsZone, host: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """OctoDNS's own warnings do not come between the lines a person reads."""
    real.point(host, ("198.18.2.100",), 30)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
    assert capfd.readouterr() == ("", "")


def test_the_key_is_not_shown(real: PowerDnsZone) -> None:
    """The API key does not appear where the adapter is printed."""
    assert KEY not in repr(real)
