"""The data plane on a site's host, over SSH: `python -m resilience.replication …` there.

Secrets travel in a command's configuration, through a pipe and never as a file;
only ship's own, which can encrypt and put but not read, stays on the host.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from resilience import caches
from resilience.adapters import leaving, rules
from resilience.adapters.kit import Kit
from resilience.adapters.shells import Shells
from resilience.adapters.signer import KitSigner
from resilience.adapters.supplies import VaultSupplies
from resilience.errors import BrokenChain, ResilienceError, ShortRecovery, TooFewVaults
from resilience.host.gate import PASS_VARIABLE
from resilience.host.shape import shape_host
from resilience.host.spec import File, HostSpec, site_host
from resilience.model import EpochRecord, Fleet, Site, SiteOutputs
from resilience.ports import Merged, Recovered, Vault
from resilience.replication import epoch as epochs
from resilience.replication.snapshot import repository

PYTHON = "PYTHONPATH=/opt/resilience/src /opt/resilience/env/bin/python3"
DATA = "/var/lib/resilience"
ETC = "/etc/resilience"
RUN = "/run/resilience"
PATHS = {
    "pg": f"{DATA}/pg",
    "media": f"{DATA}/media",
    "ledger": f"{DATA}/ledger",
    "outbox": f"{DATA}/outbox",
    "held": f"{DATA}/held",
    "spool": f"{DATA}/spool",
    "wal": f"{DATA}/wal",
    "run": RUN,
    "restic": "/opt/resilience/bin/restic",
}
POSTGRES = {
    "dsn": "host=/run/postgresql user=postgres dbname=postgres",
    "start": ["systemctl", "start", "resilience-postgres"],
    "stop": ["systemctl", "stop", "resilience-postgres"],
    "bin": "/usr/lib/postgresql/15/bin",
    "fence": [
        ["systemctl", "mask", "--runtime", "resilience-postgres"],
        ["systemctl", "stop", "--no-block", "resilience-postgres"],
    ],
    "kill": [
        ["systemctl", "kill", "--signal=SIGKILL", "resilience-postgres"],
        ["systemctl", "stop", "plaza"],
    ],
    "resume": [
        ["systemctl", "unmask", "--runtime", "resilience-postgres"],
        ["systemctl", "start", "resilience-postgres"],
        ["systemctl", "start", "plaza"],
    ],
}
SIZES = (
    f"runuser -u postgres -- psql -XAtc \"select pg_database_size('plaza')\" plaza && du -sb {DATA}/media | cut -f1 && "
    f"find {DATA}/media -type f -mtime -7 -printf '%s\\n' | awk '{{s += $1}} END {{print s + 0}}'"
)


@dataclass(frozen=True)
class SshPlane:
    """The port Plane: one fleet's hosts."""

    fleet: Fleet
    kit: Kit
    shells: Shells
    vaults: Mapping[str, Vault]
    """Opened by the operator, to read epochs."""
    signer: KitSigner
    supplies: VaultSupplies
    gate_rules: str
    """What the proxy lets through at which stage."""

    def shape(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """Packages, users, units and files; the keys of this site and epoch."""
        where = self.supplies.sources(epoch.vaults)
        return shape_host(self.shells.login(outputs), self.shells(outputs), self._spec(site, epoch), where)

    def _spec(self, site: Site, epoch: EpochRecord) -> HostSpec:
        secret = {
            "site.key": self.kit.site_key(site.name, epoch.number).read_text(),
            "ship.json": json.dumps(self._ship(site, epoch)),
            "gate.env": f"{PASS_VARIABLE}={self.kit.gate_pass(site.name, epoch.number)}\n",
        }
        app = _APP_ENV.format(data=DATA, etc=ETC, host=self.fleet.names.host)
        mine = {name: path.read_text() for name, path in self.kit.app_keys.items()}
        if (endpoints := self.kit.endpoints) is not None:
            mine |= {"endpoints.pub": endpoints[0], "endpoints.json": endpoints[1]}
            app += f"ENDPOINTS={ETC}/endpoints.json\nENDPOINTS_KEY={ETC}/endpoints.pub\n"
        return site_host().with_files(
            [
                *(File(f"{ETC}/{name}", text, mode="600") for name, text in secret.items()),
                *(File(f"{ETC}/{name}", text, "plaza", "plaza", "400") for name, text in mine.items()),
                File(f"{ETC}/app.env", app, mode="640", group="plaza"),
                File(f"{ETC}/durability.conf", rules.for_postgres(self.fleet.replication)),
                File(f"{ETC}/gate.caddy", self.gate_rules),
            ]
        )

    def create(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """An empty database cluster with the app's database; does nothing where one is."""
        return {"said": self.shells(outputs).check(_CREATE, timeout=120)}

    def restore(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Merged:
        """Snapshot and chain onto the host; the chain's end put again, the opening record put."""
        found = self._run(outputs, "restore", self._reader(site, epoch), timeout=3600)
        return Merged(**{**found, "healed": tuple(found["healed"])})

    def recover(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Recovered:
        """Replay to the chain's end and promote."""
        found = self._run(outputs, "recover", self._reader(site, epoch), timeout=3600)
        return Recovered(**{k: found[k] for k in ("switch_lsn", "timeline", "end_lsn")})

    def fetch_ledger(self, site: Site, outputs: SiteOutputs) -> int:
        """All ledger entries that any vault holds."""
        config = self._reader(site, self._newest(site))
        return int(self._run(outputs, "fetch-ledger", config)["entries"])

    def fetch_media(self, site: Site, outputs: SiteOutputs) -> int:
        """Pictures that the host lacks."""
        config = self._reader(site, self._newest(site))
        return int(self._run(outputs, "fetch-media", config, timeout=3600)["fetched"])

    def start_ship(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Start Postgres and ship; return when ship says it ships under this epoch."""
        self.shells(outputs).check(
            "systemctl start resilience-postgres && systemctl restart resilience-ship", timeout=60
        )
        script = _AWAIT_SHIP.format(number=epoch.number, run=RUN)
        self.shells(outputs).check(f"{PYTHON} -c '{script}'", timeout=60)

    def snapshot(self, site: Site, outputs: SiteOutputs) -> Mapping[str, str]:
        """One snapshot into each vault of the epoch."""
        epoch = self._newest(site)
        for vault in (name for name in epoch.vaults if name in self.vaults):
            self._init_repository(site, epoch, vault)
        config = self._ship(site, epoch, restic=True)
        found = self._run(outputs, "snapshot", config, timeout=3600)
        return {str(k): str(v) for k, v in found["snapshots"].items()}

    def verify_snapshot(self, vault: str, snapshot: str) -> bool:
        """Read the snapshot back on this machine, as the reader, who can't write."""
        epoch = epochs.newest_of(self.vaults, self.signer.verify)
        if epoch is None:
            return False
        config = self._reader(self.fleet.site(epoch.site), epoch)
        found = self._here("verify-snapshot", config, "--vault", vault, "--snapshot", snapshot)
        return bool(found["ok"])

    def status(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """What ship says, with the sizes of database and pictures."""
        config = self._ship(site, self._newest(site))
        shipped = self._run(outputs, "status", config, timeout=20)
        sizes = self.shells(outputs).check(SIZES).split()
        return {**shipped, "db_bytes": int(sizes[0]), "media_bytes": int(sizes[1]), "recent_media_bytes": int(sizes[2])}

    def set_aside(self, site: Site, outputs: SiteOutputs, newest: EpochRecord) -> Mapping[str, Any]:
        """Make room where an older epoch left something."""
        return leaving.set_aside(self.shells(outputs), newest.nonce)

    def stand_down(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Stop a superseded site for good; where its WAL ends."""
        return leaving.stand_down(self.shells(outputs), site.name)

    def catch_up(self, site: Site, outputs: SiteOutputs, vault: str) -> Mapping[str, Any]:
        """Copy from here what a vault that was left behind lacks; then tell the primary's ship."""
        epoch = self._newest(site)
        hole = self.status(site, outputs)["vaults"].get(vault, {}).get("hole")
        if hole is None:
            return {"vault": vault, "chunks": 0, "objects": 0}
        ends = ("--vault", vault, "--from", hole["from"], "--until", hole["until"])
        copied = self._here("catch-up", self._reader(site, epoch), *ends)
        self._run(outputs, " ".join(["caught-up", *ends]), self._ship(site, epoch))
        return copied

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> SshPlane:
        """The same, with no door to these vaults: no configuration names them."""
        return replace(self, vaults={name: vault for name, vault in self.vaults.items() if name not in vaults})

    def _run(
        self, outputs: SiteOutputs, command: str, config: Mapping[str, Any], timeout: float = 120
    ) -> dict[str, Any]:
        """One command on the host; its configuration comes through a pipe and is in no file."""
        line = f"{PYTHON} -m resilience.replication {command} --config /dev/stdin"
        done = self.shells(outputs).run(line, stdin=_json(config), timeout=timeout)
        return _answer(f"{outputs.site}: {command}", done.exit, done.out, done.complaint)

    def _here(self, command: str, config: Mapping[str, Any], *args: str) -> dict[str, Any]:
        """One command on the operator's own machine."""
        with tempfile.TemporaryDirectory(prefix="resilience-") as directory:
            paths = {name: f"{directory}/{name}" for name in PATHS}
            local = json.dumps({**config, "paths": {**paths, "restic": str(caches.restic())}})
            argv = [sys.executable, "-m", "resilience.replication", command, "--config", "/dev/stdin"]
            done = subprocess.run([*argv, *args], input=local, capture_output=True, text=True, check=False)
        return _answer(f"here: {command}", done.returncode, done.stdout, done.stderr[-2000:])

    def _init_repository(self, site: Site, epoch: EpochRecord, vault: str) -> None:
        """Make the vault's restic repository, as the operator; nothing where there is one."""
        if self.vaults[vault].exists(f"{repository(epoch.number)}/config"):
            return
        config = self._common(site, epoch, "operator", restic=True)
        chosen = [v for v in config["vaults"] if v["name"] == vault]
        self._here("init-repo", {**config, "vaults": chosen})

    def _newest(self, site: Site) -> EpochRecord:
        epoch = epochs.newest_of(self.vaults, self.signer.verify)
        if epoch is None or epoch.site != site.name:
            raise ResilienceError(
                f"No epoch names {site.name}.",
                f"The newest names {epoch.site}." if epoch else "No vault shows one.",
                "Run `resilience status`, then plan again.",
            )
        return epoch

    def _ship(self, site: Site, epoch: EpochRecord, *, restic: bool = False) -> dict[str, Any]:
        """What the primary may hold: it can encrypt and put."""
        config = self._common(site, epoch, "ship", restic=restic)
        config["vaults"] = [v for v in config["vaults"] if v["name"] in epoch.vaults]
        return config

    def _reader(self, site: Site, epoch: EpochRecord) -> dict[str, Any]:
        """What a restore needs: it can read everything, and put the chain's end again."""
        config = self._common(site, epoch, "reader", restic=True)
        for vault in config["vaults"]:
            vault["write_credentials"] = self.kit.vault(vault["name"], "ship")
        return {**config, "identity": self.kit.identity()}

    def _common(self, site: Site, epoch: EpochRecord, principal: str, *, restic: bool) -> dict[str, Any]:
        parents = self._parents(epoch)
        wanted = set(epoch.vaults) | set(parents[-1].vaults if parents else ())
        vaults = [
            {
                **asdict(spec),
                "credentials": self.kit.vault(spec.name, principal),
                **({"restic_password": self.kit.restic_password(spec.name)} if restic else {}),
            }
            for spec in self.fleet.vaults
            if spec.name in wanted and spec.name in self.vaults
        ]
        return {
            "site": site.name,
            "fleet": self.fleet.name,
            "epoch": asdict(epoch),
            "parent_epochs": [asdict(parent) for parent in parents],
            "operator_public_key": self.signer.public,
            "signing_key_file": f"{ETC}/site.key",
            "recipients": list(self.kit.recipients),
            "vaults": vaults,
            "sealed": [v["name"] for v in vaults],
            "k": epoch.k,
            "s": epoch.s,
            **rules.for_ship(self.fleet.replication),
            "paths": PATHS,
            "postgres": POSTGRES,
        }

    def _parents(self, epoch: EpochRecord) -> list[EpochRecord]:
        """All epochs before this one, oldest first."""
        found = []
        for number in range(1, epoch.number):
            found += epochs.numbered(self.vaults, number, self.signer.verify)[:1]
        return found


KINDS = {"BrokenChain": BrokenChain, "ShortRecovery": ShortRecovery, "TooFewVaults": TooFewVaults}


def _answer(where: str, status: int, out: str, complaint: str) -> dict[str, Any]:
    """The JSON object a command printed, or its error as ours."""
    lines = out.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    except ValueError:
        found = {}
    if status == 0:
        return found
    error = found.get("error")
    if not error:
        raise ResilienceError(f"{where} ended with status {status}.", complaint or "It said nothing.", "Run it again.")
    if error["kind"] == "BrokenChain":
        raise BrokenChain(error["missing"], error["good_until"], error["next"])
    kind = KINDS.get(error["kind"], ResilienceError)
    raise kind(f"{where}: {error['what']}", error["why"], error["next"])


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


_APP_ENV = """\
DATABASE_URL=postgresql:///plaza?host=/run/postgresql
MEDIA_DIR={data}/media
LEDGER_DIR={data}/ledger
OUTBOX_DIR={data}/outbox
HELD_DIR={data}/held
LEDGER_KEY={etc}/ledger.key
VAPID_KEY={etc}/vapid.key
SIGNUPS_KEY={etc}/signups.key
PUBLIC_URL=http://{host}
LISTEN=127.0.0.1:8000
LEDGER_WAIT_S=5
"""

_CREATE = f"""
set -e
if [ -s {DATA}/pg/PG_VERSION ] && [ -e {DATA}/created ]; then echo there; exit 0; fi
if [ -e {DATA}/pg ] && [ -n "$(ls -A {DATA}/pg)" ]; then
  systemctl stop resilience-postgres; rm -rf {DATA}/pg/*; fi
install -d -o postgres -g postgres -m 0700 {DATA}/pg
runuser -u postgres -- /usr/lib/postgresql/15/bin/initdb -D {DATA}/pg -k --wal-segsize=1 \\
  -E UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=reject >/dev/null
systemctl start resilience-postgres
export PGOPTIONS='-c synchronous_commit=local'  # nobody ships yet
runuser -u postgres -- psql -Xq -c 'create role plaza login' -c 'create database plaza owner plaza' \\
  -c "select pg_create_physical_replication_slot('ship', true)" postgres >/dev/null
touch {DATA}/created
echo made
"""

_AWAIT_SHIP = """
import json, time
until, seen = time.monotonic() + 50, {{}}
while time.monotonic() < until:
    try:
        seen = json.load(open("{run}/ship-status.json"))
    except (OSError, ValueError):
        seen = {{}}
    if seen.get("epoch") == {number} and seen.get("confirmed_lsn", "0/0") != "0/0":
        raise SystemExit(0)
    time.sleep(0.05)
raise SystemExit("ship has no chunk confirmed after 50 s; it says: " + json.dumps(seen))
"""
