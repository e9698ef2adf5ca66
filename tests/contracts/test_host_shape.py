"""A plain host is brought into shape from real supplies: once for all tests here, and again."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience import caches
from resilience.adapters.gate import HostGate
from resilience.adapters.host_places import POSTGRES, PYTHON
from resilience.adapters.host_scripts import READ_ANEW
from resilience.adapters.host_tls import BUNDLE, tls_files
from resilience.adapters.kit import Kit
from resilience.adapters.memory_vault import MemoryVault
from resilience.adapters.plaza_client import Client, NotServed
from resilience.adapters.ssh import Login, Shell
from resilience.adapters.supplies import CODE, local_manifest
from resilience.errors import Refused, ResilienceError
from resilience.host.gate import PASS_HEADER, PASS_VARIABLE, caddy_rules
from resilience.host.proxy import STORAGE
from resilience.host.shape import FETCH_S, Keys, NotShaped, is_locked, open_disk, shape_host
from resilience.host.spec import File, site_host
from resilience.model import AuthoritySpec, Names, Stage
from resilience.ports import SealedCertificate
from resilience.replication import seals, travelling
from tests.authorities import Authority, authority
from tests.plain_host import OURS, PlainHost, plain_host
from tests.replication.harness import wait_until

DISK_KEY = bytes(range(64))
SECRET, PASS = "ledger-key-content", "the-gate-s-own-pass"


@dataclass
class Supplier:
    """Serves the supplies in the host's neighbourhood; counts what was asked."""

    supplies: Mapping[str, Any]
    asked: list[str]


@dataclass
class Shaped:
    """A host after its first shaping."""

    host: PlainHost
    supplier: Supplier
    facts: Mapping[str, Any]


@pytest.fixture(scope="module")
def host() -> Iterator[PlainHost]:
    """One plain host."""
    with plain_host(disk=True) as found:
        yield found


@pytest.fixture(scope="module")
def supplier(host: PlainHost) -> Iterator[Supplier]:
    """The real supplies, over HTTP."""
    manifest, code = local_manifest(caches.supplies())
    asked: list[str] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            asked.append(name)
            if name.startswith("trickle/"):
                trickle(self)
                return
            data = code if name == CODE else (caches.supplies() / name).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    over = threading.Event()

    def trickle(to: Door) -> None:
        to.send_response(200)
        to.end_headers()
        with suppress(OSError):
            while not over.wait(0.05):
                to.wfile.write(b"x")

    with host.entered():
        server = ThreadingHTTPServer((OURS, 0), Door)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://{OURS}:{server.server_port}"
    listed = [
        {
            "name": part.name,
            "sha256": part.sha256,
            "bytes": part.bytes,
            "sources": [
                {"vault": "dead", "url": f"http://{OURS}:9/{part.name}", "headers": {}},
                {"vault": "cedar", "url": f"{url}/{part.name}", "headers": {}},
            ],
        }
        for part in manifest.parts
    ]
    yield Supplier({"digest": manifest.digest, "files": listed}, asked)
    over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def shaped(host: PlainHost, supplier: Supplier) -> Shaped:
    """The host, brought into shape."""
    with host.entered(), Shell(host.login) as shell:
        assert open_disk(shell, DISK_KEY)["made"] == ["/etc/resilience", "/var/lib/resilience"]
        facts = reshape(host.login, shell, supplier.supplies)
    return Shaped(host, supplier, facts)


@pytest.fixture
def shell(shaped: Shaped) -> Iterator[Shell]:
    """A shell on the shaped host."""
    with shaped.host.entered(), Shell(shaped.host.login) as shell:
        yield shell


def reshape(login: Login, shell: Shell, supplies: Mapping[str, Any], epoch: int = 1) -> Mapping[str, Any]:
    """Bring a host into shape, with keys of this epoch."""
    told = json.dumps({"epoch": {"number": epoch, "nonce": f"n{epoch}"}})
    files = [
        File("/etc/resilience/ledger.key", SECRET, "root", "plaza", "640"),
        File("/etc/resilience/gate.caddy", caddy_rules("/readyz", ("/join",))),
        File("/etc/resilience/gate.env", f"{PASS_VARIABLE}={PASS}\n", mode="600"),
        File("/etc/resilience/ship.json", told, mode="600"),
    ]
    return shape_host(login, shell, site_host(), supplies, Keys("acorn", epoch, files))


def test_everything_came_from_a_vault_that_lives(shaped: Shaped) -> None:
    """The first source is dead for every file: the next one gave it, and that is told by whoever asked before it was known."""
    parts = shaped.facts["supplies"]["parts"]
    assert {part["source"] for part in parts.values()} == {"cedar"}
    refused = [why for part in parts.values() for why in part["refused"]]
    assert refused
    assert all(why.startswith("dead: ") for why in refused)


def test_all_that_is_ours_lies_in_folders_that_the_disk_alone_cannot_tell(shaped: Shaped, shell: Shell) -> None:
    """Shaped through the key, and open: a secret of ours is in no block of the disk; the key again changes nothing."""
    assert shell.check("cat /etc/resilience/ledger.key") == SECRET
    assert not is_locked(shell)
    assert open_disk(shell, DISK_KEY)["made"] == []
    shell.check("sync")
    disk = (shaped.host.folder / "disk").read_bytes()
    assert SECRET.encode() not in disk
    assert b"ledger.key" not in disk
    assert b"resilience" in disk, "names of the folders themselves are in clear, so the search finds what is there"


def test_a_second_time_does_next_to_nothing(shaped: Shaped) -> None:
    """Nothing is fetched, no package touched; pyinfra finds every file as it should be."""
    before = len(shaped.supplier.asked)
    with shaped.host.entered(), Shell(shaped.host.login) as shell:
        facts = reshape(shaped.host.login, shell, shaped.supplier.supplies)
    assert len(shaped.supplier.asked) == before
    assert facts["supplies"]["already"]
    assert facts["configure"]["already"]
    assert facts["files"]["operations"] > 10
    assert facts["files"]["changed"] <= 2, "the two that only run commands"


def test_who_slept_since_gives_no_key_of_an_older_epoch(shaped: Shaped, shell: Shell) -> None:
    """The host keeps those of the epoch that it was told of last; one that is newer replaces them."""
    with shaped.host.entered():
        reshape(shaped.host.login, shell, shaped.supplier.supplies, epoch=3)
        with pytest.raises(Refused, match="acorn keeps the keys it has: it was told of epoch 3"):
            reshape(shaped.host.login, shell, shaped.supplier.supplies, epoch=2)
    assert json.loads(shell.check("cat /etc/resilience/ship.json"))["epoch"]["number"] == 3
    shell.check("rm /etc/resilience/ship.json")


def test_new_code_alone_is_all_that_is_fetched(shaped: Shaped, shell: Shell) -> None:
    """Where only our code changed, no package is touched and nothing else comes over the wire."""
    code = next(file for file in shaped.supplier.supplies["files"] if file["name"] == CODE)
    marker = "/opt/resilience/supplies.json"
    shell.check(f"cp {marker} /root/marker && sed -i s/{code['sha256']}/older/ {marker}")
    shell.check("sed -i s/{d}/older/ {m}".format(d=shaped.supplier.supplies["digest"], m=marker))
    before = len(shaped.supplier.asked)
    reshape(shaped.host.login, shell, shaped.supplier.supplies)
    assert shaped.supplier.asked[before:] == [CODE]
    assert shell.run(f"cmp /root/marker {marker} && rm /root/marker").exit == 0


def test_packages_are_whole_and_nothing_runs(shell: Shell) -> None:
    """The package manager is content; Postgres and Caddy are installed and were never started."""
    assert shell.check("dpkg --audit; dpkg-query -f '${Status}\\n' -W postgresql-15 caddy | sort -u") == (
        "install ok installed"
    )
    assert shell.run("systemctl is-active caddy plaza resilience-postgres resilience-ship").text.split("\n") == (
        ["inactive"] * 4
    )
    assert shell.run("systemctl is-enabled caddy postgresql").text.split("\n") == ["disabled", "masked"]
    assert shell.check("systemctl --failed --no-legend; ls /usr/sbin/policy-rc.d 2>/dev/null || true") == ""
    assert shell.check("ls /etc/postgresql 2>/dev/null || true") == ""


def test_users_and_folders(shell: Shell) -> None:
    """Users have their fixed numbers, folders their owners and modes."""
    assert shell.check("id -u postgres plaza ship 2>/dev/null || for u in postgres plaza ship; do id -u $u; done") == (
        "961\n962\n963"
    )
    assert shell.check("stat -c '%a %U %G' /var/lib/resilience/{pg,media,outbox/key,held/key,spool}") == (
        "700 postgres postgres\n2750 plaza resilience\n2770 plaza resilience\n2750 root resilience\n700 root root"
    )


def test_secrets_are_for_their_reader_alone(shell: Shell) -> None:
    """The ledger's key opens for the app, and not for the database's user."""
    assert shell.check("runuser -u plaza -- cat /etc/resilience/ledger.key") == SECRET
    assert shell.run("runuser -u postgres -- cat /etc/resilience/ledger.key").exit != 0
    assert shell.run(f"grep -rl {SECRET} /tmp /var/tmp /var/log /run --include=* 2>/dev/null").text == ""


def test_postgres_runs_as_declared(shell: Shell) -> None:
    """The unit starts a cluster with our settings; each local user is who it is, nobody comes by network."""
    shell.check(
        "[ -e /var/lib/resilience/pg/PG_VERSION ] || runuser -u postgres -- /usr/lib/postgresql/15/bin/initdb "
        "-k --wal-segsize=1 --locale=C.UTF-8 -D /var/lib/resilience/pg; systemctl start resilience-postgres"
    )
    ask = "psql -XAtq -h /run/postgresql -d postgres -c"
    for name, value in {"data_checksums": "on", "wal_segment_size": "1MB", "wal_level": "replica"}.items():
        assert shell.check(f"{ask} 'show {name}' -U postgres") == value
    shell.check(f"{ask} 'create role plaza login' -U postgres || true")
    assert shell.check(f"cd /; runuser -u plaza -- {ask} 'select current_user' -U plaza") == "plaza"
    assert shell.run(f"cd /; runuser -u plaza -- {ask} 'select 1' -U postgres").exit != 0
    ident = "/etc/resilience/pg_ident.conf"
    became = f"{ask} 'select current_user' -U plaza"
    shell.check(f"cp {ident} {ident}.ours; sed -i '/root  *plaza/d' {ident}; {READ_ANEW}")
    wait_until(lambda: shell.run(became).exit != 0, "root to be refused, as on hosts of earlier versions")
    shell.check(f"mv {ident}.ours {ident}; {READ_ANEW}")
    wait_until(lambda: shell.run(became).text == "plaza", "root to be let in as the app")
    assert shell.run("psql -XAtq -h 127.0.0.1 -U postgres -c 'select 1'").exit != 0
    assert shell.check("ss -Hltn 'sport = :5432' | awk '{print $4}'") == "127.0.0.1:5432"
    shell.check("systemctl stop resilience-postgres")


UNIT = "resilience-postgres.service"
WHERE = f"systemctl show -P FragmentPath {UNIT}"


def carry_out(shell: Shell, commands: str) -> None:
    """What ship does with Postgres on its host, as it is configured there; no app is there."""
    for words in (words for words in POSTGRES[commands] if words[-1] == "resilience-postgres"):
        shell.check(" ".join(words))


def test_postgres_that_was_ended_for_good_stays_down_until_it_may_run(shaped: Shaped, shell: Shell) -> None:
    """Killed, it is masked: nobody starts it, nor does bringing the host into shape change that; resumed, it runs."""
    shell.check(f"systemctl start {UNIT}")
    carry_out(shell, "kill")
    assert "masked" in shell.run(f"systemctl start {UNIT}").complaint
    with shaped.host.entered():
        reshape(shaped.host.login, shell, shaped.supplier.supplies)
    assert "masked" in shell.run(f"systemctl start {UNIT}").complaint
    carry_out(shell, "resume")
    assert shell.check(f"systemctl is-active {UNIT}; {WHERE}").split() == [
        "active",
        f"/usr/local/lib/systemd/system/{UNIT}",
    ]
    shell.check(f"systemctl stop {UNIT}")


def test_units_of_earlier_versions_hide_none(shaped: Shaped, shell: Shell) -> None:
    """They lay where they go before ours, and so did a mask before them that had no effect."""
    shell.check(f"cp /usr/local/lib/systemd/system/{UNIT} /etc/systemd/system/; systemctl mask --runtime -q {UNIT}")
    with shaped.host.entered():
        reshape(shaped.host.login, shell, shaped.supplier.supplies)
    assert shell.check(WHERE) == f"/usr/local/lib/systemd/system/{UNIT}"


ANSWERS = """
import pathlib, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
ThreadingHTTPServer.request_queue_size = 128
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/long?"):
            pathlib.Path("/run/answering", self.path[6:]).touch()
            while not pathlib.Path("/run/answering/over").exists():
                time.sleep(0.05)
        said = (self.headers.get("X-Resilience-Pass") or "hello").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    do_POST = do_GET
ThreadingHTTPServer(("127.0.0.1", 8000), Answer).serve_forever()
"""
ASKED = (("GET", "/"), ("GET", "/readyz"), ("POST", "/posts"), ("GET", "/join"), ("POST", "/join"), ("POST", "/join/"))
LETS_THROUGH = {
    Stage.CLOSED: [503, 200, 503, 503, 503, 503],
    Stage.READ_ONLY: [200, 200, 503, 200, 503, 503],
    Stage.WRITES: [200, 200, 200, 200, 503, 503],
    Stage.SIGN_UPS: [200, 200, 200, 200, 200, 200],
}


@pytest.fixture
def app(shell: Shell) -> Iterator[None]:
    """Something that answers where the app would, behind the proxy."""
    shell.put("/run/answer.py", ANSWERS.encode())
    try:
        shell.check(
            "rm -rf /run/answering && mkdir /run/answering && "
            "systemd-run -q --unit answer python3 /run/answer.py && systemctl start caddy && "
            "curl -sf --retry 50 --retry-delay 0 --retry-all-errors -o /dev/null http://127.0.0.1/readyz"
        )
        yield
    finally:
        shell.run("systemctl stop caddy answer; systemctl reset-failed caddy answer")


def statuses(shell: Shell, *options: str) -> list[int]:
    """What the proxy answers to each of the requests."""
    asks = [
        f"curl -s -o /dev/null -w '%{{http_code}}\\n' {' '.join(options)} -X {method} "
        f"http://{shell.login.address}{path}"
        for method, path in ASKED
    ]
    return [int(line) for line in shell.check("; ".join(asks)).split()]


def test_the_gate_lets_through_what_its_stage_says(shaped: Shaped, shell: Shell, app: None) -> None:
    """Closed at first; up and down again, without a reload; whoever shows the pass is let through, a wrong one not."""
    gate, outputs = HostGate(lambda _: shell), shaped.host.outputs
    assert gate.begin(outputs, ["n1"]) == Stage.CLOSED
    for stage in [*Stage, *reversed(Stage)]:
        gate.set(outputs, stage)
        assert gate.stage(outputs) == stage
        assert statuses(shell) == LETS_THROUGH[stage], stage
        assert statuses(shell, f"-H '{PASS_HEADER}: {PASS}'") == [200] * len(ASKED)
        assert statuses(shell, f"-H '{PASS_HEADER}: no'") == LETS_THROUGH[stage], stage


def test_the_proxy_comes_back_however_often_it_was_killed(shell: Shell, app: None) -> None:
    """As for want of memory, or by a fault of its own: it serves again, and nobody has to be there. Stopped, it stays stopped."""
    pid = "systemctl show -P MainPID caddy"
    for _ in range(7):
        before = shell.check(pid)
        shell.check(f"kill -9 {before}")
        shell.check("curl -sf --retry 20 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1/readyz")
        assert shell.check(pid) != before
    assert shell.check("systemctl show -P OOMScoreAdjust caddy").strip() == "-500"
    assert shell.check("systemctl stop caddy; systemctl show -P SubState caddy").strip() == "dead"
    file = "/etc/resilience/Caddyfile"
    started = shell.run(
        f"mv {file} {file}.away; systemctl start caddy; s=$?; mv {file}.away {file}; exit $s", timeout=20
    )
    assert started.exit, "whoever starts it with what it can't read is told, and does not wait for it to be tried again"


def test_what_was_opened_under_another_epoch_is_closed(shaped: Shaped, shell: Shell, app: None) -> None:
    """Begun again under the same epoch it stays open; under a new one it is closed until it is looked at."""
    gate, outputs = HostGate(lambda _: shell), shaped.host.outputs
    gate.begin(outputs, ["n2"])
    gate.set(outputs, Stage.WRITES)
    assert gate.begin(outputs, ["n2"]) == Stage.WRITES
    assert gate.begin(outputs, ["n3"]) == Stage.CLOSED
    assert statuses(shell) == LETS_THROUGH[Stage.CLOSED]


def test_the_app_never_sees_the_pass(shell: Shell, app: None) -> None:
    """The pass ends at the proxy, and only port 80 is listened at."""
    assert shell.check(f"curl -s -H '{PASS_HEADER}: {PASS}' http://{shell.login.address}/") == "hello"
    assert shell.check("ss -Hltnp | grep -c caddy") == "1"
    refused = shell.check(f"curl -si http://{shell.login.address}/").lower()
    assert "retry-after: 15" in refused
    assert "cache-control: no-store" in refused


def test_while_everybody_comes_those_inside_go_first(shaped: Shaped, shell: Shell, app: None) -> None:
    """Guests hold all the room there is: the next one gets a page that looks again; who is inside, in line or a probe is served."""
    gate, outputs, base = HostGate(lambda _: shell), shaped.host.outputs, f"http://{shell.login.address}"
    gate.begin(outputs, ["crowded"])
    gate.set(outputs, Stage.SIGN_UPS)
    crowd = f"curl -sZ --parallel-immediate --parallel-max 48 -o /dev/null '{base}/long?[1-48]'"
    shell.check(
        f"systemd-run -q --unit crowd {crowd}; until [ $(ls /run/answering | wc -l) = 48 ]; do sleep 0.05; done"
    )
    page = shell.check(f"curl -si {base}/public")
    assert page.startswith("HTTP/1.1 503")
    assert "Retry-After: 5" in page
    assert '<meta http-equiv="refresh" content="5">' in page
    assert '"error"' in shell.check(f"curl -s {base}/api/v1/timelines/public")
    ask = "curl -s -o /dev/null -w '%{http_code} ' "
    inside = [f"-H 'Cookie: plaza_session=x' {base}/public", f"-H 'Authorization: Bearer x' {base}/api/v1/x"]
    served = [*inside, *(base + path for path in ("/readyz", "/register", "/waiting"))]
    assert shell.check("; ".join(ask + one for one in served)).split() == ["200"] * len(served)
    shell.check("touch /run/answering/over; while systemctl is-active -q crowd; do sleep 0.05; done")
    assert shell.check(f"{ask}{base}/public").strip() == "200"


def test_our_code_runs_there(shell: Shell) -> None:
    """The environment and our code from the supplies work with Debian's own Python."""
    python = "cd /; PYTHONPATH=/opt/resilience/src /opt/resilience/env/bin/python3"
    assert "replay-ledger" in shell.check(f"{python} -m resilience.plaza --help")
    assert "ship" in shell.check(f"{python} -m resilience.replication --help")
    assert "0.18.1" in shell.check("/opt/resilience/bin/restic version")


def test_an_interrupted_shaping_is_finished_by_the_next(shaped: Shaped, shell: Shell) -> None:
    """Killed in the middle of the packages, with files half there: the next run puts all in order."""
    shell.check("rm /opt/resilience/supplies.json; rm -rf /opt/resilience/src /opt/resilience/bin/restic")
    shell.check("mkdir -p /var/cache/resilience-supplies; echo half >/var/cache/resilience-supplies/restic")
    dying = json.dumps({"phase": "unpack", "within_s": FETCH_S, **shaped.supplier.supplies})
    script = (files("resilience.host") / "fetch.py").read_text()
    watch = "(until dpkg=$(pgrep -xo dpkg); do sleep 0.02; done; kill -9 $(ps -o ppid= $dpkg) $dpkg) >/dev/null & "
    shell.run(watch + "python3 -", stdin=f"{script}\nrun(json.loads({dying!r}))\n".encode(), timeout=300)
    assert shell.run("test -e /opt/resilience/supplies.json").exit != 0
    facts = reshape(shaped.host.login, shell, shaped.supplier.supplies)
    assert not facts["supplies"]["already"]
    assert shell.check("dpkg --audit; /opt/resilience/bin/restic version; ls /opt/resilience/src").endswith(
        "resilience"
    )


def test_a_vault_that_drags_it_out_holds_up_neither_a_host_nor_who_runs_it_again(shaped: Shaped, shell: Shell) -> None:
    """Interrupted while a byte comes now and then, and run again: nothing of the first run is waited for, and another vault gives it."""
    url = shaped.supplier.supplies["files"][0]["sources"][1]["url"].rpartition("/")[0]
    code = next(file for file in shaped.supplier.supplies["files"] if file["name"] == CODE)
    slow = {**code, "sources": [{"vault": "slow", "url": f"{url}/trickle/{CODE}", "headers": {}}, code["sources"][1]]}
    supplies = {"digest": "again", "files": [slow]}
    shell.check(f"sed -i s/{code['sha256']}/older/ /opt/resilience/supplies.json")
    asked = shaped.supplier.asked
    script = (files("resilience.host") / "fetch.py").read_text()
    alone = {
        "phase": "unpack",
        "within_s": FETCH_S,
        "digest": "again",
        "files": [{**slow, "sources": slow["sources"][:1]}],
    }
    begun, before = shell.begin("python3 -", timeout=FETCH_S), len(asked)
    begun.channel.sendall(f"{script}\nrun(json.loads({json.dumps(alone)!r}))\n".encode())
    begun.channel.shutdown_write()
    while len(asked) == before:
        shell.check("sleep 0.1")
    begun.channel.close()
    part = reshape(shaped.host.login, shell, supplies)["supplies"]["parts"][CODE]
    assert part["source"] == "cedar"
    assert part["refused"][0].startswith("slow: ")
    shell.check("rm /opt/resilience/supplies.json")
    reshape(shaped.host.login, shell, shaped.supplier.supplies)


def test_no_vault_left_is_said(shaped: Shaped, shell: Shell) -> None:
    """When no vault gives a file, the error names the file and every vault that was asked."""
    listed = [
        {**file, "sha256": "0" * 64, "sources": file["sources"][:1]} for file in shaped.supplier.supplies["files"]
    ]
    with pytest.raises(NotShaped, match="not in shape") as caught:
        reshape(shaped.host.login, shell, {"digest": "another", "files": listed})
    assert "no vault gave" in caught.value.why
    assert "dead: " in caught.value.why


NAME = "plaza.test"
KILLED = "systemctl kill -s KILL caddy; systemctl stop caddy; systemctl reset-failed caddy"
FIRST, SECOND = (OURS, 9441), (OURS, 9442)


@dataclass
class Trusted:
    """A fleet whose name has two certificate authorities, and what is kept of it outside the host."""

    authorities: list[Authority]
    kit: Kit
    vault: MemoryVault
    key: Ed25519PrivateKey
    gate: HostGate

    @property
    def files(self) -> list[File]:
        """What a host of this fleet is given."""
        names = Names(NAME, 30, (), authorities=tuple(AuthoritySpec(a.name, a.directory) for a in self.authorities))
        return tls_files(names, self.kit, {"elm": self.vault}, self.verify, "/readyz")

    def verify(self, payload: bytes, signature: str) -> bool:
        """As everybody checks what the operator signed."""
        return seals.verify(seals.public_hex(self.key), payload, signature)

    def keep(self, sealed: SealedCertificate) -> None:
        """Into the vault."""
        at_ms = round(time.time() * 1000)
        self.vault.put_new(travelling.name(at_ms), travelling.encode(sealed, at_ms, seals.signer(self.key)))


@pytest.fixture
def trusted(shaped: Shaped, shell: Shell, tmp_path: Path) -> Iterator[Trusted]:
    """Two real authorities beside the host, which look the name up and find it there."""
    identity, hosts = pyrage.x25519.Identity.generate(), f"{shaped.host.login.address} {NAME}\n"
    kit, near = Kit(tmp_path / "kit"), shaped.host.network
    for folder in ("acme", "age"):
        (kit.directory / folder).mkdir(parents=True)
    (kit.directory / "age/standby.txt").write_text(f"{identity}\n")
    gate = HostGate(lambda _: shell, host=NAME, recipients=(str(identity.to_public()),))
    with (
        authority(tmp_path, "first", FIRST, hosts, near) as first,
        authority(tmp_path, "second", SECOND, hosts, near) as second,
    ):
        for each in (first, second):
            (kit.directory / f"acme/{each.name}.pem").write_text(each.root)
        yield Trusted([first, second], kit, MemoryVault("elm"), Ed25519PrivateKey.generate(), gate)
        anew(shell, "")


def give(trusted: Trusted, shell: Shell, then: str = f"{KILLED}; systemctl start caddy") -> None:
    """Put what the fleet holds now on the host, as shaping it for a new epoch does."""
    for file in trusted.files:
        shell.put(file.path, file.content.encode(), int(file.mode, 8))
        shell.check(f"chown {file.owner}:{file.group} {file.path}")
    shell.check(then)


def anew(shell: Shell, then: str = "systemctl start caddy") -> None:
    """The proxy as on a host that was just made; it does not wait for an authority that is gone."""
    shell.check(f"{KILLED}; rm -rf {STORAGE}/*; {then}")


def served(shaped: Shaped, trusted: Trusted) -> str:
    """The fingerprint of the certificate that users get who trust these two authorities; a refusal raises."""
    trust = ssl.create_default_context(cadata="\n".join(a.root for a in trusted.authorities))
    address = shaped.host.login.address
    with (
        shaped.host.entered(),
        socket.create_connection((address, 443), timeout=60) as plain,
        trust.wrap_socket(plain, server_hostname=NAME) as secure,
    ):
        return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()


REFUSED = "journalctl -u caddy -o cat | grep -F '\"level\":\"error\"' | tail -n 3 | grep -q 'connection refused'"


def test_certificates_travel(shaped: Shaped, shell: Shell, trusted: Trusted, app: None) -> None:
    """One authority issues; it is gone, and another does; with none a new site has nothing, until it is given what travelled."""
    outputs = shaped.host.outputs
    give(trusted, shell)
    first = trusted.gate.certificate(outputs, wait_s=180)
    assert "first" in first.certificate.issuer
    root = trusted.gate.root(outputs)
    with shaped.host.entered():
        client = Client(f"https://{outputs.addresses[0]}", gate_pass=PASS, root=root)
        assert client.call("look", "GET", "/").text == "hello"
        with pytest.raises(NotServed, match="CERTIFICATE_VERIFY_FAILED"):
            Client(f"https://{outputs.addresses[0]}", root=trusted.authorities[0].root).call("look", "GET", "/")
    trusted.authorities[0].stop()
    anew(shell)
    second = trusted.gate.certificate(outputs, wait_s=180)
    assert "second" in second.certificate.issuer
    trusted.keep(second)
    trusted.authorities[1].stop()
    anew(shell)
    shell.check(f"until {REFUSED}; do sleep 0.1; done", timeout=300)
    with pytest.raises(ResilienceError, match=f"no certificate for {NAME}") as caught:
        trusted.gate.certificate(outputs)
    assert "connection refused" in caught.value.why
    give(trusted, shell)
    assert served(shaped, trusted) == second.certificate.fingerprint
    assert trusted.gate.certificate(outputs).certificate == second.certificate
    shell.check(f"{KILLED}; find {STORAGE} -name '{NAME}.json' -delete; systemctl start caddy")
    with pytest.raises(ssl.SSLError):
        served(shaped, trusted)  # a certificate without Caddy's note of it is none to Caddy
    anew(shell)
    give(trusted, shell, f"{PYTHON} -m resilience.host.certificates give {BUNDLE}")
    with pytest.raises(ssl.SSLError):
        served(shaped, trusted)  # it lies in the storage of a proxy that began without
    assert trusted.gate.certificate(outputs, wait_s=60).certificate == second.certificate
    assert served(shaped, trusted) == second.certificate.fingerprint
    assert (
        shell.check(f"find {STORAGE} -path '*/certificates/*' -name '*.key' -printf '%m %u\n' | sort -u") == "600 caddy"
    )
    assert shell.run("ls /etc/resilience/certificates.json").exit != 0
    assert b"PRIVATE KEY" not in b"".join(trusted.vault.get(key) or b"" for key in trusted.vault.list(""))
    asked = f"curl -so /dev/null -w '%{{http_code}} %{{redirect_url}}\n' http://{outputs.addresses[0]}"
    assert shell.check(f"{asked}/readyz; {asked}/posts").split("\n") == ["200 ", f"308 https://{NAME}/posts"]
