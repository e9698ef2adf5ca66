"""Where a zone is delegated to, and how long its answers are kept: asked of a real PowerDNS."""

from __future__ import annotations

from collections.abc import Iterator

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
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], server.dns_port, 3.0
    return resolver


def test_the_parent_is_asked(server: NameServer) -> None:
    """The name servers of the zone that the name is in, also where the name is the zone itself."""
    for host in ("plaza.example.test", "www.plaza.example.test"):
        assert nameservers(host, asking(server)) == ("ns1.plaza.example.test",)


def test_nobody_to_ask_is_an_error(server: NameServer) -> None:
    """No parent that answers says nothing about the delegation."""
    resolver = asking(server)
    resolver.nameservers, resolver.lifetime = ["127.0.0.2"], 0.5
    with pytest.raises(ResilienceError, match="is not known"):
        nameservers("plaza.example.test", resolver)
