"""What a host must look like, as values; and the script that runs there with nothing but Python."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest

from resilience.host import fetch
from resilience.host.spec import PLACES, File, HostSpec, site_host

OURS = files("resilience.host") / "files"


def test_a_spec_survives_the_pipe() -> None:
    """What goes to pyinfra's process as JSON comes out the same there."""
    spec = site_host()
    assert HostSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_site_s_own_file_is_not_put_as_all_hosts_have_it_first() -> None:
    """Settings of a site take the place of those all hosts share; the rest stays."""
    path = "/etc/resilience/pg_hba.conf"
    spec = site_host().without([File(path, "mine"), File("/etc/resilience/new", "new")])
    assert {file.path for file in site_host().files} - {file.path for file in spec.files} == {path}


def test_every_file_of_ours_has_a_place() -> None:
    """No file is forgotten, and none is named that is not there."""
    own = {"sysusers.conf", "tmpfiles.conf"}
    assert {path.name for path in OURS.iterdir() if path.is_file()} - own == set(PLACES)


def test_owners_of_folders_are_users_that_are_made() -> None:
    """Each owner and group in the list of folders is in the list of users, with a fixed number."""
    spec = site_host()
    lines = [line.split() for line in spec.users.splitlines() if line and line[0] in "ug"]
    assert all(line[2].split(":")[0].isdigit() for line in lines)
    made = {line[1] for line in lines} | {"root"}
    named = {word for line in spec.folders.splitlines() if line.startswith("d ") for word in line.split()[3:5]}
    assert named <= made


@pytest.mark.parametrize("unit", [name for name in PLACES if name.endswith(".service")])
def test_units_do_not_start_at_boot(unit: str) -> None:
    """A host that wakes up may have been superseded: nothing of ours starts by itself."""
    assert "[Install]" not in (OURS / unit).read_text()


def test_no_secret_is_in_what_all_hosts_share() -> None:
    """Keys come per site, mode 600 or owned by who reads them; shared files are readable and hold none."""
    assert {file.mode for file in site_host().files} == {"644"}
    assert not any("PRIVATE KEY" in file.content for file in site_host().files)


def test_the_script_needs_nothing_but_python() -> None:
    """It imports the standard library alone, and Debian's own Python takes it from standard input."""
    source = (files("resilience.host") / "fetch.py").read_text()
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert imported <= set(sys.stdlib_module_names)
    script = f"{source}\nprint(finished({{'digest': 'none'}}))\n"
    done = subprocess.run(["python3", "-I", "-"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_what_a_host_prints_cannot_fill_the_operator_s_memory() -> None:
    """All of it is kept by pyinfra, whose process has a bound before it knows of any host."""
    argv = [sys.executable, "-m", "resilience.host.deploy"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as waits:
        assert waits.stdin is not None
        until, bound = time.monotonic() + 60, str(1 << 30)
        while (found := _address_space(waits.pid)) != bound and time.monotonic() < until:
            time.sleep(0.05)
        waits.stdin.close()
    assert found == bound


def _address_space(pid: int) -> str:
    """As the kernel has it."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next((line.split()[3] for line in lines if line.startswith("Max address space")), "")


def test_a_failed_command_tells_its_last_words() -> None:
    """When a program on the host fails, its own complaint is in the error."""
    with pytest.raises(fetch.Failed, match="ended with 3: boo"):
        fetch.command("sh", "-c", "echo boo >&2; exit 3")


def test_postgres_puts_nothing_where_root_keeps_objects() -> None:
    """The folder above its segments is root's: Postgres' user enters it, and that is all."""
    folders = {line.split()[1]: line.split()[2:] for line in site_host().folders.splitlines() if line.startswith("d ")}
    assert folders["/var/lib/resilience/wal"] == ["0750", "root", "postgres"]
