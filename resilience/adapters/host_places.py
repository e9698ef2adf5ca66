"""Where things are on a site's host, and how Postgres is started and stopped there."""

from __future__ import annotations

PYTHON = "PYTHONPATH=/opt/resilience/src /opt/resilience/env/bin/python3"
DATA = "/var/lib/resilience"
ETC = "/etc/resilience"
RUN = "/run/resilience"
SETTINGS = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "durability.conf", "Caddyfile", "site.caddy", "app.env")
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
    "settings": [f"{ETC}/{name}" for name in SETTINGS],
}
POSTGRES = {
    "dsn": "host=/run/postgresql user=postgres dbname=postgres",
    "start": ["systemctl", "start", "resilience-postgres"],
    "stop": ["systemctl", "stop", "resilience-postgres"],
    "bin": "/usr/lib/postgresql/15/bin",
    "fence": [["systemctl", "stop", "--no-block", "resilience-postgres"]],
    # Masked once it is dead, since systemd forgets of a masked unit how it is stopped; the app last, since that takes long.
    "kill": [
        ["systemctl", "kill", "--signal=SIGKILL", "resilience-postgres"],
        ["systemctl", "mask", "resilience-postgres"],
        ["systemctl", "stop", "plaza"],
    ],
    "resume": [
        ["systemctl", "unmask", "resilience-postgres"],
        ["systemctl", "start", "resilience-postgres"],
        ["systemctl", "start", "plaza"],
    ],
}
