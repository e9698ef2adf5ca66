"""Certificate authorities: two, which belong to no vendor. Caddy speaks ACME as a server, too."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from resilience import caches, keys
from resilience.errors import ResilienceError
from resilience.lab import network, places, processes
from resilience.lab.entrance import with_names, write_names
from resilience.lab.processes import Home

START_WAIT_S = 120.0
CONFIG = """{{
	admin off
	skip_install_trust
	storage file_system {folder}/storage
	auto_https disable_redirects
	pki {{
		ca local {{
			name "{name}"
		}}
	}}
}}
https://{address}:{port} {{
	tls internal
	acme_server
}}
"""
ROOT = "storage/pki/authorities/local/root.crt"


@cache
def caddy(folder: Path) -> Path:
    """The program, out of the package that hosts are set up from."""
    debs = str(caches.supplies() / "debs.tar")
    subprocess.run(["tar", "-xf", debs, "-C", str(folder), "--wildcards", "./caddy_*"], check=True)
    [package] = folder.glob("caddy_*")
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "root")], check=True)
    return folder / "root/usr/bin/caddy"


def directory_url(address: str, port: int) -> str:
    """Where such an authority is asked."""
    return f"https://{address}:{port}/acme/local/directory"


def start(directory: Path, home: Home) -> None:
    """Start them, and let the operator's kit and the users know whom to trust."""
    place = _place(directory)
    place.mkdir(mode=0o700, exist_ok=True)
    for name, address in places.AUTHORITIES.items():
        _start(directory, name, address, home)
    roots = {name: _root(directory, name, address) for name, address in places.AUTHORITIES.items()}
    for name, root in roots.items():
        keys.keep(directory / "kit" / "acme" / f"{name}.pem", root.encode())
    _roots(directory).write_text("".join(roots.values()))


def are_there(directory: Path) -> bool:
    """Whether this lab has any."""
    return _place(directory).is_dir()


def trusted(directory: Path) -> dict[str, str]:
    """What makes a user's programs trust them: OpenSSL's and that of requests."""
    return (
        dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(_roots(directory))) if are_there(directory) else {}
    )


def silence(directory: Path, home: Home) -> list[str]:
    """From now on nobody can ask any of them; which those are."""
    names = list(places.AUTHORITIES) if are_there(directory) else []
    for name in names:
        network.silence(places.authority_space(name), home)
        processes.end_group(_process(name))
    return names


def _start(directory: Path, name: str, address: str, home: Home) -> None:
    mine = _place(directory) / name
    mine.mkdir(exist_ok=True)
    (mine / "Caddyfile").write_text(CONFIG.format(folder=mine, name=name, address=address, port=443))
    network.attach(places.authority_space(name), [address], f"ca-{name}", home)
    run = [str(caddy(_place(directory))), "run", "--config", str(mine / "Caddyfile"), "--adapter", "caddyfile"]
    write_names(mine / "etc", places.place(places.NAME_VENDORS[-1]).dns_address)  # no cache: as authorities do
    argv, env = with_names(mine / "etc", run), {"HOME": str(mine)}
    processes.start(directory, _process(name), argv, home=home, space=places.authority_space(name), env=env)


def _root(directory: Path, name: str, address: str) -> str:
    if not network.wait_for_port(places.authority_space(name), address, 443, START_WAIT_S):
        raise ResilienceError(
            f"The authority {name} did not start",
            f"Nothing listens after {START_WAIT_S:.0f} s; its log is {directory}/log/{_process(name)}.log.",
            "Read the log; then resilience lab down, and try again.",
        )
    return (_place(directory) / name / ROOT).read_text()


def _place(directory: Path) -> Path:
    return directory / "authorities"


def _roots(directory: Path) -> Path:
    return _place(directory) / "roots.pem"


def _process(name: str) -> str:
    return f"authority-{name}"
