"""Where a zone is delegated to, and how long its answers are kept: asked of a real PowerDNS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dns.name
import dns.resolver
import pytest

from resilience.adapters.delegation import nameservers
from resilience.errors import ResilienceError
from tests.name_server import NameServer, name_server


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


def test_nobody_to_ask_is_an_error(server: NameServer) -> None:
    """No parent that answers says nothing about the delegation."""
    resolver = asking(server)
    resolver.nameservers, resolver.lifetime = ["127.0.0.2"], 0.5
    with pytest.raises(ResilienceError, match="is not known"):
        nameservers("plaza.example.test", resolver)
