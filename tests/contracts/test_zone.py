"""What every zone promises, asked of the simulated one, of a real PowerDNS, and of vendors as moto and our stand-ins play them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread

import dns.resolver
import pytest

from resilience.adapters import dns_vendors
from resilience.adapters.octodns_zone import OctoDnsZone, ZoneUnchanged
from resilience.errors import MissingPart, ResilienceError
from resilience.model import RecordSpec, ZoneSpec
from resilience.ports import Zone
from resilience.simulation.state import State
from resilience.simulation.vendors import SimZone
from tests.aws_server import client, empty_server
from tests.dns_stand_ins import TOKEN, Cloudflare, Google, Hetzner, served
from tests.name_server import KEY, TSIG, NameServer, name_server

NAMES = (f"plaza{n}.test" for n in count(1))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    """One real name server for all tests here."""
    with name_server(tmp_path_factory.mktemp("dns") / "dover") as found:
        yield found


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """Route 53, as moto plays it: its address."""
    with empty_server() as url:
        yield url


@pytest.fixture(scope="module")
def google() -> Iterator[Google]:
    """Google Cloud DNS, as our own stand-in plays it."""
    with served(vendor := Google()):
        yield vendor


@pytest.fixture(scope="module")
def hetzner() -> Iterator[Hetzner]:
    """Hetzner DNS, likewise."""
    with served(vendor := Hetzner()):
        yield vendor


@pytest.fixture(scope="module")
def cloudflare() -> Iterator[Cloudflare]:
    """Cloudflare, likewise."""
    with served(vendor := Cloudflare()):
        yield vendor


@pytest.fixture
def host(server: NameServer, aws: str, google: Google, hetzner: Hetzner, cloudflare: Cloudflare) -> str:
    """A name whose zone is served, with nothing in it yet."""
    name = next(NAMES)
    server.add_zone(name, {})
    google.add_zone(name)
    hetzner.add_zone(name)
    cloudflare.add_zone(name)
    aws_zone(aws, name)
    return name


def aws_zone(url: str, name: str) -> None:
    """A hosted zone as AWS makes it; moto writes a SOA that is none."""
    route53 = client("route53", url)
    number = route53.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"]
    soa = [{"Value": "ns-2048.awsdns-64.net. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"}]
    rrset = {"Name": name, "Type": "SOA", "TTL": 900, "ResourceRecords": soa}
    changes = [{"Action": "UPSERT", "ResourceRecordSet": rrset}]
    route53.change_resource_record_sets(HostedZoneId=number, ChangeBatch={"Changes": changes})


@pytest.fixture
def keys(aws: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Root's keys at moto, which Route 53 is asked at."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_ROUTE_53", aws)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return "AWS_ACCESS_KEY_ID=root\nAWS_SECRET_ACCESS_KEY=root\n"


def at_google(google: Google, host: str) -> OctoDnsZone:
    """The zone of this name at Google's stand-in."""
    return OctoDnsZone(ZoneSpec("google", "google", google.url, host), google.key())


def at_hetzner(hetzner: Hetzner, token: str = TOKEN) -> OctoDnsZone:
    """All zones at Hetzner's stand-in."""
    return OctoDnsZone(ZoneSpec("hetzner", "hetzner", f"{hetzner.url}/v1"), token)


def at_cloudflare(cloudflare: Cloudflare) -> OctoDnsZone:
    """All zones at Cloudflare's stand-in."""
    return OctoDnsZone(ZoneSpec("cloudflare", "cloudflare", cloudflare.url), TOKEN)


@pytest.fixture(params=["simulated", "powerdns", "rfc2136", "route53", "google", "hetzner", "cloudflare"])
def zone(
    request: pytest.FixtureRequest,
    server: NameServer,
    keys: str,
    google: Google,
    hetzner: Hetzner,
    cloudflare: Cloudflare,
    host: str,
) -> Zone:
    """The port, on the fake, on real name servers, and on vendors' interfaces."""
    made: dict[str, Zone] = {
        "simulated": SimZone(State(), "dover"),
        "powerdns": OctoDnsZone(server.spec, KEY),
        "rfc2136": OctoDnsZone(server.updated(host), TSIG),
        "route53": OctoDnsZone(ZoneSpec("amazon", "route53"), keys),
        "google": at_google(google, host),
        "hetzner": at_hetzner(hetzner),
        "cloudflare": at_cloudflare(cloudflare),
    }
    return made[str(request.param)]


@pytest.fixture
def real(server: NameServer) -> OctoDnsZone:
    """The real thing."""
    return OctoDnsZone(server.spec, KEY)


def test_a_name_that_points_nowhere_has_no_addresses(zone: Zone, host: str) -> None:
    """No record is an empty answer, not an error."""
    assert zone.addresses(host) == ()
    assert zone.ttl_s(host) is None


def test_how_long_answers_are_kept_is_told(zone: Zone, host: str) -> None:
    """The TTL that is served, and the new one once it was lowered."""
    for ttl_s in (300, 60):
        zone.point(host, ("198.18.1.100",), ttl_s)
        assert zone.ttl_s(host) == ttl_s


def test_a_name_points_where_it_was_pointed(zone: Zone, host: str) -> None:
    """What was set is read back, again and again, and replaced by the next."""
    for addresses in (("198.18.1.100",), ("198.18.1.100",), ("198.18.2.100",), ("198.18.2.100", "198.18.2.101")):
        zone.point(host, addresses, 60)
        assert zone.addresses(host) == addresses


def test_anybody_who_asks_is_told(server: NameServer, real: OctoDnsZone, host: str) -> None:
    """The address and its TTL are what the vendor's name server answers on port 53."""
    real.point(host, ("198.18.1.100",), 30)
    assert server.ask(host) == [("198.18.1.100", 30)]


def test_everything_else_stays(server: NameServer, real: OctoDnsZone) -> None:
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


def test_a_second_time_changes_nothing(server: NameServer, real: OctoDnsZone, host: str) -> None:
    """Pointing a name where it points already is no change: the serial stays."""
    real.point(host, ("198.18.2.100",), 30)
    serial = server.api("GET", f"zones/{host}.").json()["serial"]
    real.point(host, ("198.18.2.100",), 30)
    assert server.api("GET", f"zones/{host}.").json()["serial"] == serial


def test_a_new_ttl_is_a_change(server: NameServer, real: OctoDnsZone, host: str) -> None:
    """The declared TTL is served even where the address stays."""
    real.point(host, ("198.18.2.100",), 3600)
    real.point(host, ("198.18.2.100",), 30)
    assert server.ask(host) == [("198.18.2.100", 30)]


def test_nothing_points_at_the_old_site_any_more(server: NameServer, real: OctoDnsZone) -> None:
    """An IPv6 address or an alias of the same name would lead users back: it goes."""
    six, alias = next(NAMES), next(NAMES)
    server.add_zone(six, {(six, "AAAA"): ["2001:db8::1"]})
    server.add_zone(alias, {(f"www.{alias}", "CNAME"): ["acorn.example."]})
    real.point(six, ("198.18.2.100",), 30)
    real.point(f"www.{alias}", ("198.18.2.100",), 30)
    assert server.ask(six, "AAAA") == []
    assert server.ask(f"www.{alias}") == [("198.18.2.100", 30)]


@pytest.mark.parametrize("kind", ["powerdns", "rfc2136"])
def test_a_dead_owners_mark_at_the_name_stops_nothing(server: NameServer, kind: str) -> None:
    """external-dns writes who owns a name into a TXT record at it, and beside it: the owner is gone, and the name moves.

    Its marks stay, as does all that is not an address; nor do they count as where the name leads.
    """
    zone = next(NAMES)
    host, mark = (
        f"www.{zone}",
        '"heritage=external-dns,external-dns/owner=gone,external-dns/resource=service/web/plaza"',
    )
    marks = {(name, "TXT"): [mark] for name in (host, f"a-{host}", zone)}
    server.add_zone(zone, {(host, "A"): ["198.18.1.100"], **marks})
    before = server.records(zone)
    real = OctoDnsZone(server.spec, KEY) if kind == "powerdns" else OctoDnsZone(server.updated(zone), TSIG)
    for name, old in ((host, {(f"{host}.", "A", 300, "198.18.1.100")}), (zone, set())):
        real.point(name, ("198.18.2.100",), 30)
        assert real.addresses(name) == ("198.18.2.100",)
        assert server.ask(name) == [("198.18.2.100", 30)]
        before = before - old | {(f"{name}.", "A", 30, "198.18.2.100")}
    assert server.records(zone) == before
    assert [text for text, _ in server.ask(host, "TXT")] == [mark]


def test_both_kinds_of_address(server: NameServer, real: OctoDnsZone, host: str) -> None:
    """A site may have both: each goes into its own record."""
    real.point(host, ("198.18.2.100", "2001:db8::2"), 30)
    assert server.ask(host, "AAAA") == [("2001:db8::2", 30)]
    assert real.addresses(host) == ("198.18.2.100", "2001:db8::2")


def test_the_safety_valve_does_not_stop_a_failover(server: NameServer, real: OctoDnsZone) -> None:
    """OctoDNS refuses to change 30 % of a zone; here all of a name's addresses change at once, and may."""
    name = next(NAMES)
    hosts = {(f"{word}.{name}", "A"): ["198.18.1.100"] for word in "abcdefghijkl"}
    server.add_zone(name, hosts)
    for word in "abcdefghijkl":
        real.point(f"{word}.{name}", ("198.18.2.100",), 30)
    assert all(server.ask(f"{word}.{name}") == [("198.18.2.100", 30)] for word in "abcdefghijkl")


def test_the_closest_zone_is_the_one(server: NameServer, real: OctoDnsZone) -> None:
    """Where both example.test and app.example.test are zones, the name is in the latter."""
    name = next(NAMES)
    server.add_zone(name, {})
    server.add_zone(f"app.{name}", {})
    real.point(f"www.app.{name}", ("198.18.2.100",), 30)
    assert (f"www.app.{name}.", "A", 30, "198.18.2.100") in server.records(f"app.{name}")


def test_a_name_in_no_zone_is_refused(server: NameServer, real: OctoDnsZone) -> None:
    """A name that only ends like a zone's is not in it; nothing is made up."""
    name = next(NAMES)
    server.add_zone(name, {})
    with pytest.raises(ZoneUnchanged, match="could not") as caught:
        real.point(f"other{name}", ("198.18.2.100",), 30)
    assert "serves no zone" in caught.value.why


def test_a_wrong_key_is_said(server: NameServer, host: str) -> None:
    """An API key the vendor refuses is named as the cause."""
    with pytest.raises(ZoneUnchanged, match="dover: could not move") as caught:
        OctoDnsZone(server.spec, "wrong").point(host, ("198.18.2.100",), 30)
    assert "401" in caught.value.why or "refused" in caught.value.why


def test_a_dead_vendor_is_said_at_once(host: str) -> None:
    """Nobody at the vendor's address is an error, not a wait."""
    began = time.monotonic()
    with pytest.raises(ZoneUnchanged, match="dover"):
        OctoDnsZone(ZoneSpec("dover", "powerdns", "http://127.0.0.1:9"), KEY).addresses(host)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", ["powerdns", "google", "hetzner"])
def test_a_silent_vendor_is_given_up(kind: str, google: Google, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor that takes the call and says nothing costs a few seconds, no more; some libraries alone would wait for ever."""
    monkeypatch.setattr(dns_vendors, "TIMEOUT_S", 0.3)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        key = google.key().replace(google.url, url) if kind == "google" else KEY
        with pytest.raises(ZoneUnchanged, match="dover"):
            OctoDnsZone(ZoneSpec("dover", kind, url, host), key).addresses(host)  # type: ignore[arg-type]
    assert time.monotonic() - began < 60


def test_nothing_is_said_on_the_side(
    real: OctoDnsZone, host: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """OctoDNS's own warnings do not come between the lines a person reads."""
    real.point(host, ("198.18.2.100",), 30)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
    assert capfd.readouterr() == ("", "")


def test_the_key_is_not_shown(real: OctoDnsZone) -> None:
    """The API key does not appear where the adapter is printed."""
    assert KEY not in repr(real)


def test_a_wrong_signature_is_said(server: NameServer, host: str) -> None:
    """A TSIG secret the name server does not know is named as the cause, and nothing moves."""
    wrong = TSIG.replace("SECRET=b", "SECRET=c")
    with pytest.raises(ZoneUnchanged, match="dover: could not move") as caught:
        OctoDnsZone(server.updated(host), wrong).point(host, ("198.18.2.100",), 30)
    assert "Transfer" in caught.value.why
    assert server.ask(host) == []


def test_a_key_of_another_kind_is_said() -> None:
    """A key that lacks what this kind of vendor needs is missing, in words that say which file and what to write."""
    with pytest.raises(MissingPart, match="AWS_ACCESS_KEY_ID") as caught:
        OctoDnsZone(ZoneSpec("amazon", "route53"), "a-token").addresses("plaza.test")
    assert "NAME=value" in caught.value.next


def declared(zone: str) -> tuple[RecordSpec, ...]:
    """What every vendor of this zone should serve."""
    return (
        RecordSpec("@", "NS", 3600, (f"ns1.{zone}.", "ns2.other.test.")),
        RecordSpec("@", "MX", 300, (f"10 mail.{zone}.",)),
        RecordSpec(f"mail.{zone}", "A", 300, ("192.0.2.25",)),
        RecordSpec("@", "TXT", 300, ('"v=spf1 mx -all"',)),
        RecordSpec("@", "CAA", 300, ('0 issue "ca.test"',)),
        RecordSpec("elsewhere.test", "A", 300, ("192.0.2.9",)),
        RecordSpec("@", "SOA", 900, ("7200 900 1209600 300",)),
    )


def test_a_zone_declared_once_is_the_same_at_every_vendor(server: NameServer, aws: str, host: str, zone: Zone) -> None:
    """What differs is told before, served after, a second time is no change, and where the name leads stays."""
    zone.point(host, ("198.18.2.100",), 60)
    if isinstance(zone, OctoDnsZone):
        told = zone.drift(host, declared(host))
        assert f"{host}. MX is absent, declared 10 mail.{host}. (300 s)" in told
        assert any(line.endswith('declared 7200 900 1209600 300 ("no such name" is kept 300 s)') for line in told)
    records = declared(host)
    if isinstance(zone, OctoDnsZone) and zone.spec.kind == "cloudflare":
        records = tuple(record for record in records if record.type != "NS")  # nobody changes the NS set there
    zone.align(host, records)
    assert zone.drift(host, records) == ()
    zone.align(host, records)
    assert zone.addresses(host) == ("198.18.2.100",)


def test_of_the_soa_the_timers_are_alike_and_the_rest_is_each_vendors_own(
    server: NameServer, keys: str, google: Google, hetzner: Hetzner, cloudflare: Cloudflare, host: str
) -> None:
    """Every vendor keeps its own primary and mailbox; the serial goes up; resolvers are told the declared timers."""
    aws = client("route53", os.environ["AWS_ENDPOINT_URL_ROUTE_53"])
    number = next(z["Id"] for z in aws.list_hosted_zones()["HostedZones"] if z["Name"] == f"{host}.")

    def route53() -> list[str]:
        held = aws.list_resource_record_sets(HostedZoneId=number)["ResourceRecordSets"]
        return [r["ResourceRecords"][0]["Value"] for r in held if r["Type"] == "SOA"]

    def settings() -> list[str]:
        soa = cloudflare.soas[host]
        return [f"{soa['mname']} {soa['rname']} 0 {soa['refresh']} {soa['retry']} {soa['expire']} {soa['min_ttl']}"]

    told: dict[str, tuple[OctoDnsZone, Callable[[], list[str]]]] = {
        "powerdns": (OctoDnsZone(server.spec, KEY), lambda: [text for text, _ in server.ask(host, "SOA")]),
        "rfc2136": (OctoDnsZone(server.updated(host), TSIG), lambda: [text for text, _ in server.ask(host, "SOA")]),
        "route53": (OctoDnsZone(ZoneSpec("amazon", "route53"), keys), route53),
        "google": (at_google(google, host), lambda: google.zones[host][f"{host}.", "SOA"][1]),
        "hetzner": (at_hetzner(hetzner), lambda: hetzner.zones[host][f"{host}.", "SOA"][1]),
        "cloudflare": (at_cloudflare(cloudflare), settings),
    }
    for n, (kind, (zone, ask)) in enumerate(told.items()):
        before = ask()[0].split()
        zone.align(host, (RecordSpec("@", "SOA", 900, (f"7200 900 1209600 {300 + n}",)),))
        after = ask()[0].split()
        assert after[:2] == before[:2]
        assert after[3:] == ["7200", "900", "1209600", str(300 + n)]
        assert int(after[2]) > int(before[2]) or kind in {"route53", "cloudflare"}  # not counted, not shown


def test_the_name_servers_are_part_of_it(server: NameServer, real: OctoDnsZone, host: str) -> None:
    """The NS set that anybody is told holds both vendors' name servers."""
    real.align(host, declared(host))
    assert {server for server, _ in server.ask(host, "NS")} == {f"ns1.{host}.", "ns2.other.test."}


def test_what_nobody_declared_is_told_and_stays(server: NameServer, real: OctoDnsZone) -> None:
    """A record of somebody's own is drift, and aligning removes nothing."""
    name = next(NAMES)
    server.add_zone(name, {(f"old.{name}", "A"): ["192.0.2.66"]})
    real.align(name, declared(name))
    assert real.drift(name, declared(name)) == (f"old.{name}. A is served and not declared",)
    assert server.ask(f"old.{name}") == [("192.0.2.66", 300)]


def test_each_name_server_is_asked_itself(server: NameServer) -> None:
    """The SOA's serial as served with authority; one that does not serve the zone is named."""
    name = next(NAMES)
    server.add_zone(name, {(f"ns1.{name}", "A"): ["127.0.0.1"], (f"ns2.{name}", "A"): ["127.0.0.1"]})
    ask = dns.resolver.Resolver(configure=False)
    ask.nameservers, ask.port = ["127.0.0.1"], server.dns_port
    spec = replace(server.spec, nameservers=(f"ns1.{name}", f"ns2.{name}"))
    found = OctoDnsZone(spec, KEY, ask).serials(name)
    assert set(found) == {f"ns1.{name}", f"ns2.{name}"}
    assert len(set(found.values())) == 1
    gone = replace(spec, nameservers=(f"ns9.{name}",))
    with pytest.raises(ResilienceError, match=f"ns9.{name} does not serve"):
        OctoDnsZone(gone, KEY, ask).serials(name)


def test_a_move_leaves_the_rest_of_a_vendors_zone(google: Google, hetzner: Hetzner, host: str) -> None:
    """From an old site's IPv4, IPv6 and TTL to the new one's; another name and the zone's own records stay as they are."""
    for vendor, zone in ((google, at_google(google, host)), (hetzner, at_hetzner(hetzner))):
        held = vendor.zones[host]
        held[f"{host}.", "AAAA"] = (300, ["2001:db8::1"])
        held[f"mail.{host}.", "A"] = (300, ["192.0.2.25"])
        zone.point(host, ("198.18.1.100",), 300)
        before = dict(held)
        zone.point(host, ("198.18.2.100",), 60)
        after = {key: rrset for key, rrset in vendor.zones[host].items() if key[1] != "SOA"}
        moved = {(f"{host}.", "A"): (60, ["198.18.2.100"])}
        assert after == {key: rrset for key, rrset in before.items() if key[1] not in {"SOA", "AAAA"}} | moved


def test_nobody_else_is_asked(google: Google, hetzner: Hetzner, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zone's vendor alone; Google's library by itself asks a second address for regions, in a thread."""
    asked, ask = set(), socket.getaddrinfo

    def look_up(name: str, *args: object, **options: object) -> object:
        asked.add(name)
        return ask(name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for zone in (at_google(google, host), at_hetzner(hetzner)):
        zone.point(host, ("198.18.1.100",), 60)
    assert asked == {"127.0.0.1"}


def test_a_vendor_makes_up_no_zone(google: Google, hetzner: Hetzner) -> None:
    """A zone that is not at the vendor is told; octoDNS by itself would make one, which nobody is delegated to."""
    for vendor, zone in ((google, at_google(google, "gone.test")), (hetzner, at_hetzner(hetzner))):
        with pytest.raises(ZoneUnchanged, match=r"could not find gone\.test"):
            zone.point("gone.test", ("198.18.2.100",), 60)
        with pytest.raises(ZoneUnchanged, match=r"could not find gone\.test"):
            zone.align("gone.test", ())
        assert "gone.test" not in vendor.zones


SAID_BY_VENDORS = {
    "forbidden": (403, {"error": {"code": 403, "message": "Forbidden", "errors": [{"reason": "forbidden"}]}}, {"error": {"code": "forbidden", "message": "insufficient permissions"}}),
    "in conflict": (409, {"error": {"code": 409, "message": "Conflict", "errors": [{"reason": "alreadyExists"}]}}, {"error": {"code": "locked", "message": "zone is locked"}}),
    "asked too much": (429, {"error": {"code": 429, "message": "Quota exceeded", "errors": [{"reason": "rateLimitExceeded"}]}}, {"error": {"code": "rate_limit_exceeded", "message": "limit reached"}}),
    "a page of a proxy": (503, "<html><body>maintenance</body></html>", "<html><body>maintenance</body></html>"),
}  # fmt: skip


@pytest.mark.parametrize("said", SAID_BY_VENDORS.values(), ids=SAID_BY_VENDORS)
def test_a_refused_list_is_no_empty_zone(
    google: Google, hetzner: Hetzner, host: str, said: tuple[int, object, object]
) -> None:
    """What a vendor refuses is an error in our words, few requests are sent for it, and nothing is read out of it or moved."""
    status, *bodies = said
    for vendor, zone, body in ((google, at_google(google, host), bodies[0]), (hetzner, at_hetzner(hetzner), bodies[1])):
        zone.point(host, ("198.18.1.100",), 60)
        held = dict(vendor.zones[host])
        for doing in (partial(zone.addresses, host), partial(zone.point, host, ("198.18.2.100",), 60)):
            vendor.next_answers, vendor.asked = [(status, body)] * 9, []
            with pytest.raises(ZoneUnchanged, match=f"{zone.spec.vendor}: could not"):
                doing()
            assert len([asked for asked in vendor.asked if asked.endswith("rrsets")]) <= 2
        vendor.next_answers = []
        assert vendor.zones[host] == held


def test_a_key_that_a_vendor_refuses_is_said(google: Google, hetzner: Hetzner, host: str) -> None:
    """A token that was revoked, and a service account's key that was deleted."""
    with pytest.raises(ZoneUnchanged, match="hetzner: could not move") as caught:
        at_hetzner(hetzner, "revoked").point(host, ("198.18.2.100",), 60)
    assert "unable to authenticate" in caught.value.why
    with served(other := Google()):
        stale = OctoDnsZone(ZoneSpec("google", "google", google.url, host), other.key().replace(other.url, google.url))
        with pytest.raises(ZoneUnchanged, match="google: could not move") as caught:
            stale.point(host, ("198.18.2.100",), 60)
    assert "invalid_grant" in caught.value.why


def test_a_change_that_fails_after_it_was_taken_is_said(hetzner: Hetzner, host: str) -> None:
    """Hetzner takes a change first and makes it then: what comes of it is asked."""
    hetzner.failing = True
    try:
        with pytest.raises(ZoneUnchanged, match="hetzner: could not move"):
            at_hetzner(hetzner).point(host, ("198.18.2.100",), 60)
    finally:
        hetzner.failing = False


REFUSALS = {
    "a token it does not know": (403, "application/json", '{"success":false,"errors":[{"code":9109,"message":"Invalid access token"}]}'),
    "a closed account": (403, "application/json", '{"success":false,"errors":[{"code":1108,"message":"This account is suspended"}]}'),
    "a page for people": (403, "text/html", "<html><body><h1>Access denied</h1></body></html>"),
    "a page of a proxy": (502, "text/html", "<html><body>bad gateway</body></html>"),
}  # fmt: skip


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_whatever_cloudflare_answers_is_said(answer: tuple[int, str, str]) -> None:
    """JSON and HTML refusals alike become one error in our words, and the vendor is not stormed."""
    with answering(*answer) as (url, asked), pytest.raises(ZoneUnchanged, match="could not read plaza"):
        OctoDnsZone(ZoneSpec("cloudflare", "cloudflare", url), KEY).addresses("plaza.test")
    assert len(asked) <= 2


@contextmanager
def answering(status: int, kind: str, body: str) -> Iterator[tuple[str, list[str]]]:
    """A vendor that gives every question one recorded answer; its address, and what it was asked."""
    asked: list[str] = []

    class Recorded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nothing on the side."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorded) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
