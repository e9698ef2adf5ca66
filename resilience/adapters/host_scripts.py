"""Small scripts and files for a site's host, as text."""

from __future__ import annotations

from resilience.adapters.host_places import DATA, ETC, POSTGRES, RUN
from resilience.host.spec import MASKS

DATABASE_SIZE = "runuser -u postgres -- psql -XAtc \"select pg_database_size('plaza')\" postgres"
"""Asked in a database where nobody but Postgres' user makes anything: see `resilience.replication.sessions`."""

APP_ENV = """\
DATABASE_URL=postgresql:///plaza?host=/run/postgresql
MEDIA_DIR={data}/media
LEDGER_DIR={data}/ledger
OUTBOX_DIR={data}/outbox
HELD_DIR={data}/held
LEDGER_KEY={etc}/ledger.key
VAPID_KEY={etc}/vapid.key
SIGNUPS_KEY={etc}/signups.key
PUBLIC_URL={url}
LISTEN=127.0.0.1:8000
LEDGER_WAIT_S=5
SIGN_UPS_MARK={sign_ups}
"""

CREATE = f"""
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

AWAIT_TURN = """
import json, subprocess, time
until, seen = time.monotonic() + 50, {{}}
while time.monotonic() < until:
    try:
        seen = json.load(open("{run}/ship-status.json"))
    except (OSError, ValueError):
        seen = {{}}
    counts = [v.get("counts") for v in seen.get("vaults", {{}}).values()]
    if seen.get("epoch") == {number} and counts.count(True) >= {k}:
        raise SystemExit(0)
    time.sleep(0.05)
last = subprocess.run(["journalctl", "-u", "resilience-ship", "-n", "5", "-o", "cat"], capture_output=True, text=True)
raise SystemExit("ship did not turn within 50 s; it says: " + last.stdout[-1500:] + json.dumps(seen))
"""

AWAIT_SHIP = """
import json, time
until, seen = time.monotonic() + 50, {{}}
while time.monotonic() < until:
    try:
        seen = json.load(open("{run}/ship-status.json"))
    except (OSError, ValueError):
        seen = {{}}
    streams = seen.get("postgres_error") is None
    if seen.get("epoch") == {number} and seen.get("confirmed_lsn", "0/0") != "0/0" and streams:
        raise SystemExit(0)
    time.sleep(0.05)
raise SystemExit("ship has no chunk confirmed after 50 s; it says: " + json.dumps(seen))
"""

BEGUN = f"{RUN}/ship-begun"
"""Under which epoch, by its nonce, ship was started ahead of time."""
FOLLOW_KEYS = f"{RUN}/follow.json"
MASK = f"{MASKS}/resilience-postgres.service"
UNMASK = f"if [ -L {MASK} ]; then systemctl unmask --quiet resilience-postgres; fi"
"""Postgres may be started again; where it always might, systemd need not read its units anew."""
READ_ANEW = "if systemctl is-active -q resilience-postgres; then systemctl reload resilience-postgres; fi"
"""A Postgres that runs already obeys the files that `up` put: who may be whom, and what a commit waits for."""
STAND_STILL = (
    f"systemctl stop resilience-follow; rm -f {FOLLOW_KEYS} {RUN}/follow-status.json {RUN}/metrics/follow.prom"
)
"""End following: what it held is ready for `restore`; the keys that open copies are gone."""

SORTED_BY = (
    "SELECT 'collation ' || datcollate || ' ' || coalesce(pg_database_collation_actual_version(oid), '-')"
    " FROM pg_database WHERE datname = current_database()"
)
VERSIONS = f"""
echo "arch $(uname -m)"
! test -x {POSTGRES["bin"]}/postgres || echo "postgres $({POSTGRES["bin"]}/postgres --version | cut -d' ' -f3-)"
runuser -u postgres -- psql -XAtc "{SORTED_BY}" postgres 2>/dev/null
true
"""
"""Of what kind this host is, in the words of a snapshot's label; by what it sorts is told by a database that runs."""

STANDING = f"test -e {RUN}/ship-status.json || {{ date +%s.%N && cat {RUN}/follow-status.json; }} 2>/dev/null; true"
"""What follow says, after the host's own time; nothing where nobody follows, or ship says something."""

MAKE_ROOM = f"""
set -e
ship=$(systemctl is-active resilience-ship || true)
case $ship in inactive|failed) ;; *)
  echo "ship is $ship on this host: it never shares a host with a standby's keys" >&2; exit 1;; esac
systemctl stop resilience-follow plaza caddy
rm -rf {DATA}/tls/*
rm -f {ETC}/*.key {ETC}/ship.json {ETC}/endpoints.json {ETC}/certificates.json {RUN}/ship-status.json {RUN}/follow-status.json {RUN}/metrics/ship.prom
"""
"""What a primary had goes before a standby's keys come: they never share a host. Ship that is to be started again is not gone."""
TAKE_UP = f"""
set -e
{READ_ANEW}
systemctl start resilience-follow
/opt/resilience/env/bin/python3 -m compileall -q /opt/resilience/src  # nobody but root may; a failover need not
"""

AWAIT_FOLLOW = f"""
import json, subprocess, time
until, failed = time.monotonic() + 3500, 0
while time.monotonic() < until:
    try:
        seen = json.load(open("{RUN}/follow-status.json"))
    except (OSError, ValueError):
        seen = {{}}
    if seen.get("readable") and (seen.get("lag_seconds") or 0) < 5:
        print(json.dumps({{k: seen[k] for k in ("follows", "epoch", "snapshot", "replayed_lsn")}}))
        raise SystemExit(0)
    state = subprocess.run(["systemctl", "is-active", "resilience-follow"], capture_output=True, text=True).stdout
    failed = 0 if state.strip() in ("active", "activating") else failed + 1
    restarts = subprocess.run(["systemctl", "show", "-P", "NRestarts", "resilience-follow"], capture_output=True, text=True)
    if failed > 20 or int(restarts.stdout or 0) > 5:
        break
    time.sleep(0.1)
last = subprocess.run(["journalctl", "-u", "resilience-follow", "-n", "5", "-o", "cat"], capture_output=True, text=True)
raise SystemExit("this host does not follow; it says: " + last.stdout[-1500:])
"""
