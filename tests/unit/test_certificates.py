"""Certificates as they travel: what serves a name, what is passed over, and what a plan says without one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience import config
from resilience.adapters.memory_vault import MemoryVault
from resilience.decide.certificates import certify, tls_declared, tls_observed, without_certificate
from resilience.errors import FleetError
from resilience.host.certificates import Unusable, pack, unpack, usable
from resilience.host.proxy import Issuer, caddyfile
from resilience.model import AuthoritySpec, Certificate, Survey, Unknown
from resilience.ports import SealedCertificate
from resilience.replication import listed, seals, travelling

NOW = datetime(2026, 11, 25, tzinfo=UTC)
HOST = "plaza.test"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples/two-clouds-and-metal.toml"
DECLARED = config.load(EXAMPLE)
PLAIN = replace(DECLARED, names=replace(DECLARED.names, authorities=()))
AUTHORITIES = (AuthoritySpec("one", "https://one.test/acme"), AuthoritySpec("two", "https://two.test/acme"))
TRUSTED = replace(PLAIN, names=replace(PLAIN.names, host=HOST, authorities=AUTHORITIES))


@cache
def issued(issuer: str, host: str = HOST, days: int = 90) -> dict[str, str]:
    """A certificate and its key in Caddy's places."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)])
    leaf = (
        x509.CertificateBuilder(named, x509.Name([]), key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=100))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    place = f"certificates/{issuer}/{host}/{host}"
    return {
        f"{place}.crt": leaf.public_bytes(pem).decode(),
        f"{place}.key": private.decode(),
        f"{place}.json": "{}",
    }


@pytest.mark.parametrize("note", [None, '{"sans": ['])
def test_one_that_is_being_written_is_none_yet(note: str | None) -> None:
    """Caddy writes its note last, and loads no certificate without: one that travels so would serve nobody at the new site."""
    bundle = issued("one")
    name = next(name for name in bundle if name.endswith(".json"))
    half = {key: text for key, text in bundle.items() if key != name} | ({} if note is None else {name: note})
    with pytest.raises(Unusable, match="can't be read"):
        usable(half, HOST, NOW.timestamp())


def test_the_one_that_lasts_longest_serves() -> None:
    """Two authorities issued: the proxy goes on with either, and the later end counts."""
    found = usable({**issued("one", days=10), **issued("two", days=80)}, HOST, NOW.timestamp())
    assert (found.issuer, found.until) == ("CN=two", "2027-02-13")


def test_what_can_not_serve_is_said() -> None:
    """Expired, another name's, another key's, torn, or none at all: each in words."""
    torn = {name: text[:40] for name, text in issued("one").items()}
    other = {**issued("one"), **{k: v for k, v in issued("one", days=5).items() if k.endswith(".key")}}
    cases = {
        "expired on 2026-11-24": issued("one", days=-1),
        "is for another name": issued("one", "other.test"),
        "another certificate's": other,
        "can't be read": torn,
        f"there is none for {HOST}": {},
    }
    for why, bundle in cases.items():
        with pytest.raises(Unusable, match=why):
            usable(bundle, HOST, NOW.timestamp())


def test_a_newer_one_on_the_host_stays(tmp_path: Path) -> None:
    """What the vaults bring is older than what the proxy renewed: nothing is put; the other way round all is."""
    unpack(tmp_path, issued("one", days=80))
    assert unpack(tmp_path, issued("one", days=20)) == []
    assert len(unpack(tmp_path, issued("one", days=85))) == 3
    assert pack(tmp_path) == issued("one", days=85)


def test_only_what_travels_is_written(tmp_path: Path) -> None:
    """Names that lead elsewhere, locks and half-finished challenges are left out on both ways."""
    names = (
        "../../etc/passwd",
        "/etc/passwd",
        "certificates/../../../x/y",
        "locks/a",
        "acme/ca/challenge_tokens/a.json",
    )
    assert unpack(tmp_path, dict.fromkeys(names, "x")) == []
    assert unpack(tmp_path, {"acme/ca/users/default/default.key": "k"}) == ["acme/ca/users/default/default.key"]
    assert [p.stat().st_mode & 0o777 for p in tmp_path.rglob("*") if p.is_file()] == [0o600]
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/b").write_text("x")
    assert pack(tmp_path) == {"acme/ca/users/default/default.key": "k"}


def test_vaults_show_the_newest_that_the_operator_signed() -> None:
    """A forged one, an altered one and junk are passed over; who holds the rest is told."""
    key, forger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    one, two = MemoryVault("one"), MemoryVault("two")
    sealed = SealedCertificate(Certificate(HOST, "CN=x", 5.0, "aa"), b"secret")
    good, forged = (travelling.encode(sealed, 1000, seals.signer(k)) for k in (key, forger))
    for vault in (one, two):
        vault.put_new(travelling.name(1000), good)
    two.put_new(travelling.name(2000), forged)
    one.put_new(travelling.name(3000), good.replace(b"CN=x", b"CN=y"))
    one.put_new("tls/junk", b"junk")
    found = travelling.newest({"one": one, "two": two}, seals.verifier(seals.public_hex(key)), 2.0)
    assert found is not None
    assert (found.sealed, found.vaults, found.bundle.key) == (sealed, ("one", "two"), travelling.name(1000))
    assert b"secret" not in good


@dataclass
class Put:
    """Vaults of an operator, and what was put there over time."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    vaults: dict[str, MemoryVault] = field(default_factory=lambda: {n: Counted(n) for n in ("elm", "birch", "cedar")})

    def put(self, at_ms: int, issuer: str, until: float, *, moment: bool = True) -> bytes:
        """One in every vault, with its moment or as earlier versions put it."""
        sealed = SealedCertificate(Certificate(HOST, issuer, until, "aa"), b"secret")
        data = travelling.encode(sealed, at_ms, seals.signer(self.key))
        if not moment:
            body = {k: v for k, v in json.loads(data).items() if k != "at_ms"}
            data = seals.canonical(seals.sign_json(body, seals.signer(self.key)))
        for vault in self.vaults.values():
            vault.put_new(travelling.name(at_ms), data)
        return data

    def newest(self, now: float = 5.0) -> str:
        """Who issued what a site would get."""
        found = travelling.newest(self.vaults, seals.verifier(seals.public_hex(self.key)), now)
        assert found is not None
        return found.sealed.certificate.issuer


class Counted(MemoryVault):
    """A vault that counts what it was asked for."""

    asked = 0

    def get(self, key: str) -> bytes | None:
        """The object."""
        self.asked += 1
        return super().get(key)


LAST = "tls/9999999999999.json"


@pytest.mark.parametrize("until", [3.0, 90.0], ids=["ended", "revoked"])
@pytest.mark.parametrize("vault", ["elm", "birch", "cedar"])
def test_an_old_one_under_a_later_name_is_none(vault: str, until: float) -> None:
    """One vault's vendor serves what it once held as the newest there will ever be."""
    put = Put()
    old = put.put(1000, "old", until)
    put.put(2000, "new", 80.0)
    put.vaults[vault].put_new(LAST, old)
    assert put.newest() == "new"


def test_those_of_earlier_versions_are_read_and_never_go_before_one_that_tells_its_moment() -> None:
    """By their names, as they were; until the first with a moment is there, whatever it replaced is replayed as."""
    put = Put()
    put.put(1000, "older", 90.0, moment=False)
    newest = put.put(2000, "old", 80.0, moment=False)
    assert put.newest() == "old"
    put.put(1500, "new", 70.0)
    put.vaults["elm"].put_new(LAST, newest)
    assert put.newest() == "new"
    assert put.newest(75.0) == "new", "it ended, and an old one that has not may have been revoked since"


def test_of_two_under_one_name_the_later_end_counts() -> None:
    """An older one of earlier versions, served by one vault in the newest one's place."""
    for vault in ("elm", "birch", "cedar"):
        put = Put()
        old = put.put(1000, "old", 70.0, moment=False)
        put.put(2000, "new", 80.0, moment=False)
        put.vaults[vault].objects[travelling.name(2000)] = old
        assert put.newest() == "new"


def test_one_that_ended_is_passed_over_where_another_is_good() -> None:
    """Two authorities issued, the newer one for a shorter time; where all ended the newest is told."""
    for moment in (True, False):
        put = Put()
        put.put(1000, "long", 90.0, moment=moment)
        put.put(2000, "short", 4.0, moment=moment)
        assert put.newest(3.0) == "short"
        assert put.newest(5.0) == "long"
        assert put.newest(99.0) == "short"


@pytest.mark.parametrize("data", [b"junk", bytes((1 << 20) + 1)], ids=["junk", "large"])
def test_names_that_a_vendor_makes_up_cost_a_few_looks(data: bytes) -> None:
    """Junk, and old ones of earlier versions, a thousand of each: another vault's newest is found."""
    put = Put()
    old = put.put(1000, "old", 90.0, moment=False)
    put.put(2000, "new", 80.0)
    for n in range(1000):
        put.vaults["elm"].put_new(travelling.name(10**12 + 2 * n), data)
        put.vaults["elm"].put_new(travelling.name(10**12 + 2 * n + 1), old)
    assert put.newest() == "new"
    assert [vault.asked for vault in put.vaults.values()] == [listed.TRIES, 1, 1]  # type: ignore[attr-defined]


def test_the_proxy_asks_in_the_declared_order() -> None:
    """Each authority with what it needs; nothing of the app is served by plain HTTP but its probe."""
    issuers = [Issuer("https://one.test/acme", "/etc/one.pem"), Issuer("https://two.test/acme", "", ("id", "key"))]
    text = caddyfile(HOST, issuers, "/readyz", "ops@example.net")
    assert text.index("one.test") < text.index("/etc/one.pem") < text.index("two.test") < text.index('eab "id" "key"')
    assert "email ops@example.net" in text
    assert text.count("127.0.0.1:8000") == 1
    assert text.index("site.internal") < text.index("tls internal")


SURVEYS = {
    "pass": (Certificate(HOST, "CN=x", 90 * 86_400.0, "aa"), ("elm",)),
    "warn": (Certificate(HOST, "CN=x", 9 * 86_400.0, "aa"), ("elm",)),
    "fail": None,
    "unknown": Unknown("no vault answers"),
}


@pytest.mark.parametrize("grade", SURVEYS)
def test_what_travels_is_graded(grade: str) -> None:
    """Good for long, nearly over, absent, unknown; and nothing is asked where plain HTTP is served."""
    survey = Survey(0.0, certificate=SURVEYS[grade])
    (finding,) = tls_observed(TRUSTED, survey)
    assert finding.grade == grade
    assert list(tls_observed(PLAIN, survey)) == []


def test_a_failover_without_one_is_a_hazard() -> None:
    """Absent, expired, for another name or unknown: named; one that is good is none."""
    expired, other = Certificate(HOST, "CN=x", -1.0, "a"), Certificate("other.test", "CN=x", 9e9, "a")
    for seen in (None, Unknown("silent"), (expired, ("elm",)), (other, ("elm",))):
        (hazard,) = without_certificate(TRUSTED, Survey(0.0, certificate=seen))
        assert hazard.name == "no-certificate"
    assert list(without_certificate(TRUSTED, Survey(0.0, certificate=SURVEYS["pass"]))) == []
    assert list(without_certificate(PLAIN, Survey(0.0))) == []


def test_how_many_authorities_there_are_is_graded() -> None:
    """Two pass; one may refuse the name; none means plain HTTP. Only a fleet with some has the step."""
    one = replace(TRUSTED, names=replace(TRUSTED.names, authorities=AUTHORITIES[:1]))
    grades = [[finding.grade for finding in tls_declared(fleet)] for fleet in (TRUSTED, one, PLAIN)]
    assert grades == [["pass"], ["warn"], ["warn"]]
    assert len(list(certify(TRUSTED, "main"))) == 1
    assert list(certify(PLAIN, "main")) == []


def test_authorities_are_declared_once_and_by_https() -> None:
    """The same directory twice, and one by plain HTTP, are told with their line."""
    text = EXAMPLE.read_text()
    block = '\n[[names.authority]]\nname = "{}"\ndirectory = "{}"\n'
    twice = text + block.format("a", "https://a.test/dir") + block.format("b", "https://a.test/dir")
    with pytest.raises(FleetError, match="directory") as caught:
        config.parse(twice)
    assert "declared twice" in json.dumps([caught.value.what, caught.value.why])
    with pytest.raises(FleetError, match="directory"):
        config.parse(text + block.format("a", "http://a.test/dir"))


@pytest.fixture
def host() -> Iterator[Path]:
    """A host's storage, which is the proxy's, and a bundle and a folder of root's beside it."""
    top = Path(tempfile.mkdtemp(prefix="resilience-tls-"))
    top.chmod(0o755)
    for name in ("tls", "etc"):
        (top / name).mkdir(0o700)
    shutil.chown(top / "tls", PROXY, PROXY)
    (top / "etc/certificates.json").write_text(json.dumps({"files": issued("one")}))
    (top / "etc/site.key").write_text("root's own")
    yield top
    shutil.rmtree(top)


PROXY = "daemon"
"""Stands for the proxy's user."""


def as_proxy(*argv: str | Path) -> None:
    """What the proxy's user does, with no right but its own."""
    subprocess.run(argv, check=True, user=PROXY, group=PROXY, extra_groups=[], cwd="/")


def act(host: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """`take` or `give`, as root."""
    line = [sys.executable, "-m", "resilience.host.certificates", *words, "--storage", host / "tls", "--user", PROXY]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def roots(host: Path) -> list[object]:
    """Owner, mode and content of what is root's."""
    key = host / "etc/site.key"
    return [(key.stat().st_uid, key.stat().st_mode, key.read_text()), ((host / "etc").stat().st_uid)]


def test_what_is_given_is_the_proxys_and_nothing_else_is(host: Path) -> None:
    """A link that lies among certificates, also under the name of a half-written one, gives the proxy nothing of root's."""
    place = host / "tls/certificates/one" / HOST
    before = roots(host)
    as_proxy("mkdir", "-p", place)
    for name in (f".{HOST}.key.new", "other.crt", "other.key"):
        as_proxy("ln", "-s", host / "etc/site.key", place / name)
    as_proxy("ln", "-s", host / "etc", host / "tls/acme")
    assert act(host, "give", host / "etc/certificates.json").returncode == 0
    assert roots(host) == before
    assert {path.owner() for path in (host / "tls").rglob(f"{HOST}.*")} == {PROXY}
    assert not (host / "etc/certificates.json").exists()
    taken = act(host, "take", HOST)
    assert set(json.loads(taken.stdout)["files"]) == set(issued("one")), taken.stderr


def test_nothing_is_given_into_a_linked_folder(host: Path) -> None:
    """Where a folder of the storage is a link to one of root's, nothing is written there, and the bundle stays."""
    as_proxy("ln", "-s", host / "etc", host / "tls/certificates")
    assert act(host, "give", host / "etc/certificates.json").returncode != 0
    assert sorted(path.name for path in (host / "etc").iterdir()) == ["certificates.json", "site.key"]
