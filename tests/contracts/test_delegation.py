"""Where a zone is delegated to, and how long its answers are kept: asked of a real PowerDNS."""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from resilience.adapters.delegation import nameservers
from resilience.errors import ResilienceError
from tests.name_server import NameServer, name_server

Answered = Callable[[dns.message.Message, str], None]
"""What a name server makes of its answer; it is told over what it was asked."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    """One name server that has the parent zone and the zone."""
    with name_server(tmp_path_factory.mktemp("dns") / "parent") as found:
        found.add_zone("example.test", {("ns1.example.test", "A"): ["127.0.0.1"]})
        found.add_zone("plaza.example.test", {("plaza.example.test", "A"): ["198.18.1.100"]})
        yield found


def asking(server: NameServer) -> dns.resolver.Resolver:
    """A resolver that knows this server alone."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], server.dns_port, 60.0
    return resolver


def test_the_parent_is_asked(server: NameServer) -> None:
    """The name servers of the zone that the name is in, also where the name is the zone itself."""
    for host in ("plaza.example.test", "www.plaza.example.test"):
        assert nameservers(host, asking(server)) == ("ns1.plaza.example.test",)


def test_the_parent_is_asked_where_no_name_server_of_the_zone_is_left(server: NameServer) -> None:
    """A resolver fails for everything in the zone, and the parent still says who was meant to answer."""
    resolver = asking(server)

    class Dead(dns.resolver.Resolver):
        """What a resolver says of a zone that nobody serves."""

        def resolve(self, qname: Any, *args: Any, **kwargs: Any) -> Any:
            """SERVFAIL below the zone; the parent's own names are answered."""
            if dns.name.from_text(str(qname)).is_subdomain(dns.name.from_text("plaza.example.test")):
                raise dns.resolver.NoNameservers
            return resolver.resolve(qname, *args, **kwargs)

    dead = Dead(configure=False)
    dead.port = resolver.port
    for host in ("plaza.example.test", "www.plaza.example.test"):
        assert nameservers(host, dead) == ("ns1.plaza.example.test",)


BESIDE = "127.0.0.3"
TOLD = dns.rrset.from_text("plaza.example.test.", 300, "IN", "NS", "ns7.other.test.")
ROOTS = dns.rrset.from_text(".", 300, "IN", "NS", "a.root-servers.test.")


def refusing(code: dns.rcode.Rcode) -> Answered:
    """An answer of this code, with nothing in it."""

    def refuse(answer: dns.message.Message, over: str) -> None:
        answer.set_rcode(code)

    return refuse


def lame(answer: dns.message.Message, over: str) -> None:
    """It does not have the zone any more, and sends whoever asks up to the root."""
    answer.authority.append(ROOTS)


def empty(answer: dns.message.Message, over: str) -> None:
    """No error, nothing in it, and no authority."""


def truncated(answer: dns.message.Message, over: str) -> None:
    """Too much for UDP."""
    if over == "tcp":
        answer.authority.append(TOLD)
    else:
        answer.flags |= dns.flags.TC


@contextmanager
def beside(port: int, answered: Answered) -> Iterator[list[str]]:
    """Another name server of the parent, that answers so; over what it was asked, each time."""
    asked: list[str] = []

    def to(wire: bytes, over: str) -> bytes:
        asked.append(over)
        answer = dns.message.make_response(dns.message.from_wire(wire))
        answered(answer, over)
        return answer.to_wire()

    class OverUdp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request[1].sendto(to(self.request[0], "udp"), self.client_address)

    class OverTcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            answer = to(self.rfile.read(int.from_bytes(self.rfile.read(2), "big")), "tcp")
            self.wfile.write(len(answer).to_bytes(2, "big") + answer)

    with ExitStack() as stack:
        for kind, handler in ((socketserver.UDPServer, OverUdp), (socketserver.TCPServer, OverTcp)):
            server = stack.enter_context(kind((BESIDE, port), handler))
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            stack.callback(server.shutdown)
        yield asked


@dataclass(frozen=True)
class At:
    """A name server's address, as a resolver gives it."""

    address: str


def first_of(server: NameServer, *addresses: str) -> dns.resolver.Resolver:
    """A resolver that says that the parent's name server has these addresses, in this order."""
    real = asking(server)

    class Told(dns.resolver.Resolver):
        def resolve(self, qname: Any, rdtype: Any = "A", *args: Any, **kwargs: Any) -> Any:
            """Only the name server's own addresses are ours."""
            ours = rdtype == "A" and str(qname) == "ns1.example.test."
            return [At(address) for address in addresses] if ours else real.resolve(qname, rdtype, *args, **kwargs)

    told = Told(configure=False)
    told.port = real.port
    return told


SILENT = {"refused": refusing(dns.rcode.REFUSED), "broken": refusing(dns.rcode.SERVFAIL), "lame": lame, "empty": empty}


@pytest.mark.parametrize("how", SILENT)
def test_a_parents_server_that_says_nothing_of_the_zone_is_not_believed(server: NameServer, how: str) -> None:
    """The next one is asked; where there is none, nothing is known, and nobody is sent to the registrar for it."""
    with beside(server.dns_port, SILENT[how]) as asked:
        assert nameservers("plaza.example.test", first_of(server, BESIDE, "127.0.0.1")) == ("ns1.plaza.example.test",)
        assert asked == ["udp"]
        with pytest.raises(ResilienceError, match="is not known") as caught:
            nameservers("plaza.example.test", first_of(server, BESIDE))
    assert BESIDE in caught.value.why


def test_what_udp_cuts_off_is_asked_by_tcp(server: NameServer) -> None:
    """Half an answer names too few name servers, or none."""
    with beside(server.dns_port, truncated) as asked:
        assert nameservers("plaza.example.test", first_of(server, BESIDE)) == ("ns7.other.test",)
    assert asked == ["udp", "tcp"]


def test_nobody_to_ask_is_an_error(server: NameServer) -> None:
    """No parent that answers says nothing about the delegation."""
    resolver = asking(server)
    resolver.nameservers, resolver.lifetime = ["127.0.0.2"], 0.5
    with pytest.raises(ResilienceError, match="is not known"):
        nameservers("plaza.example.test", resolver)
