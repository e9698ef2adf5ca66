"""What is asked of a host that was the primary: whose database it has, to stop for good, and to make room for a copy made anew."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Protocol

from resilience.errors import ResilienceError
from resilience.host.shape import ETC, overtaken
from resilience.model import EpochRecord


class Shell(Protocol):
    """What runs a command on the host."""

    def check(self, command: str, *, stdin: bytes | None = None, timeout: float = 60.0) -> str:
        """Standard output of a command that must succeed."""


def set_aside(shell: Shell, site: str, newest: EpochRecord) -> Mapping[str, Any]:
    """Move everything of an older epoch into a folder of its own; the host is then as one that was just made.

    Refused where the host was told of a newer one: somebody went on since this one was looked up.
    """
    said = shell.check(f"newest={shlex.quote(newest.nonce)} number={newest.number:d}\n{SET_ASIDE}", timeout=120)
    found = dict(json.loads(said.strip().splitlines()[-1]))
    if "newer" in found:
        raise overtaken(f"{site} is left as it is", found["newer"], f"{ETC}/ship.json", newest.number)
    return found


def database(shell: Shell) -> Mapping[str, Any]:
    """Whether there is one, the nonce of the epoch under which it was brought there, and that of the epoch the host was told: {there, nonce, told}."""
    return dict(json.loads(shell.check(DATABASE)))


def stand_down(shell: Shell, site: str) -> Mapping[str, Any]:
    """Stop the app, let ship hand over the last WAL and the last pictures, and read from Postgres' control file where it ends."""
    said = shell.check(STAND_DOWN, timeout=90)
    found = dict(line.split("=", 1) for line in said.split("\n") if "=" in line)
    if found.get("state") != "shut down":
        raise ResilienceError(
            f"{site} did not stop in order: Postgres says '{found.get('state', 'nothing')}'.",
            "Where its WAL ends is not known, so neither is whether the vaults hold all of it.",
            "Run the same command again. If it stays so: `resilience plan` fails over, and says what may be lost.",
        )
    return {"end_lsn": found["end"]}


DATABASE = """
python3 - <<'END'
import json, os
pg = "/var/lib/resilience/pg"
def read(path):
    try:
        return json.load(open(path))
    except (OSError, ValueError):
        return {}
nonce, told = read(pg + "/resilience.json"), read("/etc/resilience/ship.json").get("epoch", {})
print(json.dumps({"there": os.path.exists(pg + "/PG_VERSION"), "nonce": nonce.get("nonce", ""), "told": told.get("nonce", "")}))
END
"""
SET_ASIDE = """
set -e
if [ -d /etc/resilience ]; then exec 9< /etc/resilience; flock 9; fi  # nobody tells the host of another epoch meanwhile
read -r told nonce < <(python3 -c 'import json; e = json.load(open("/etc/resilience/ship.json"))["epoch"]; print(e["number"], e["nonce"])' 2>/dev/null || true) || true
if [ -z "$nonce" ] || [ "$nonce" = "$newest" ]; then echo '{"aside": ""}'; exit 0; fi
if [ "$told" -gt "$number" ]; then printf '{"newer": %d}\\n' "$told"; exit 0; fi
for lock in database ledger media; do  # whose machine is gone is at work here still: what it brings is of an older epoch
  for pid in $(lslocks -nro PID,PATH 2>/dev/null | awk -v at="/run/resilience/$lock.lock" '$2 == at { print $1 }'); do
    kill "$pid" 2>/dev/null && tail --pid="$pid" -f /dev/null
  done
done
systemctl stop caddy plaza resilience-ship resilience-lease
systemctl stop resilience-postgres
systemctl unmask --quiet resilience-postgres
home=/var/lib/resilience; to=$home/aside/$nonce
install -d -m 700 "$to"
move() {  # Where a run was cut short, a boot has made empty folders again of what that run moved.
  if [ ! -e "$home/$1" ]; then return; fi
  if [ ! -e "$to/$1" ]; then mv "$home/$1" "$to/$1"; return; fi
  if [ -z "$(find "$home/$1" ! -type d -print -quit)" ]; then rm -r "$home/$1"; return; fi
  n=1
  while [ -e "$to/$1.$n" ]; do n=$((n + 1)); done
  mv "$home/$1" "$to/$1.$n"
}
for what in pg wal spool media ledger outbox held created; do move "$what"; done
rm -f "$home"/gate/*
systemd-tmpfiles --create /etc/tmpfiles.d/resilience.conf
mv /etc/resilience/ship.json "$to/"  # last: without it there is nothing to set aside
printf '{"aside": "%s"}\\n' "$to"
"""
SAY_STOOD_DOWN = (
    "runuser -u postgres -- env PGOPTIONS='-c synchronous_commit=local'"
    """ psql -XAtq -c "select pg_logical_emit_message(false, 'stand-down', '')" postgres >/dev/null 2>&1"""
)
STAND_DOWN = f"""
systemctl stop plaza
{SAY_STOOD_DOWN} || true
for _ in $(seq 200); do
  case $(systemctl is-active resilience-postgres) in active|deactivating) sleep 0.1;; *) break;; esac
done
left() {{
  cd /var/lib/resilience && find outbox/key outbox/media spool/outbox/*/key spool/outbox/*/header spool/outbox/*/media \
    -type f ! -name '.*' -print -quit 2>/dev/null
}}
for _ in $(seq 50); do  # ship hands over pictures of requests that were under way, and where no vault takes them ends by itself
  if [ -z "$(left)" ] || ! systemctl is-active --quiet resilience-ship; then break; fi
  sleep 0.1
done
control() {{ /usr/lib/postgresql/15/bin/pg_controldata /var/lib/resilience/pg | sed -n "s/^$1: *//p"; }}
if systemctl is-active --quiet resilience-postgres; then echo "state=still running"; exit 0; fi
echo "state=$(control 'Database cluster state')"
echo "end=$(control 'Latest checkpoint location')"
"""
