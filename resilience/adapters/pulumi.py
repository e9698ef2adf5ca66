"""Port Cloud: the real Pulumi engine, through its Automation API, on the program in `stacks/`.

State is a folder on the operator's machine; its secrets are encrypted with the kit's passphrase.
The program runs inside this process (an inline program): about 2 s for a site of one host.
Plain `pulumi up` runs the same program on the same state; `stacks/README.md` says how.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resilience import caches
from resilience.adapters import pulumi_errors as said
from resilience.adapters.budget import PARALLEL
from resilience.adapters.pulumi_hosts import holds_host, refuse_to_end_hosts
from resilience.adapters.pulumi_orphans import end_orphans
from resilience.errors import MissingPart, Refused
from resilience.model import Site, SiteOutputs

if TYPE_CHECKING:
    import pulumi.automation as auto

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
"""Pulumi's gRPC, with its support of forks, may abort a child of this process before it becomes the program it was to be."""

PROJECT = "resilience"
ROOT = Path(__file__).resolve().parent.parent.parent
STACK_TYPE = "pulumi:pulumi:Stack"
QUIET = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
}
"""No call to Pulumi's own servers: not for updates, not for plugins."""
logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
"""Once the engine has ended over an error, the SDK's server still tries to tell it: nobody needs that."""
_ONE_AT_A_TIME = threading.Lock()
"""The SDK keeps an inline program's settings for the process, so programs run one by one."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backend:
    """Where state is kept and what opens it."""

    state: Path
    passphrase: Path
    """A file with the passphrase; only its name is handed on."""

    @property
    def work(self) -> Path:
        """The folder with each stack's configuration."""
        return self.state / "config"

    @property
    def home(self) -> Path:
        """Where the engine keeps what it would else put into the user's own folder."""
        return self.state / "home"

    @property
    def url(self) -> str:
        """The backend, as the engine is told: with no second file beside each, which it does not write at one stroke."""
        return f"{self.state.resolve().as_uri()}?metadata=skip"


@dataclass(frozen=True)
class PulumiCloud:
    """Infrastructure of one vendor's sites."""

    backend: Backend
    authorized_key: str
    account: str | None = None
    """URL of the vendor's account API."""
    token: str | None = field(default=None, repr=False)
    """Goes into the engine's environment and nowhere else."""
    host_keys: Mapping[str, str] = field(default_factory=dict)
    """Address → pinned host key, for hosts that are simply there."""
    fleet: str = ""
    operators: tuple[str, ...] = ()
    """Networks that may come in by SSH."""
    credentials: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)
    """What the vendor's provider reads from its environment; asked for only when the engine runs."""
    strangers: Callable[[Site, frozenset[str]], tuple[str, ...]] = field(default=lambda *_: (), repr=False)
    """What carries a site's marks at the vendor, without what the state knows; asked only after a run that was killed."""

    def up(self, site: Site) -> SiteOutputs:
        """Make the site, or finish what a half-done run began; returns what the stack exports.

        Where a killed run left a host that no state knows, a second one is not made beside it. A host that is there
        stays: where the engine would end it, that is refused before anything is changed.
        """
        if (begun := self._begun(site)) and (found := self.strangers(site, self._known(site))):
            raise said.left_over(site, begun, found)

        def make() -> SiteOutputs:
            stack = self.stack(site)
            stack.set_all_config(self._config(site))
            if holds_host(self._deployment(site).get("resources") or []):
                refuse_to_end_hosts(stack, site, PARALLEL)
            result = stack.up(color="never", suppress_outputs=True, parallel=PARALLEL)
            if begun:
                _close(stack)
            return SiteOutputs.from_json({name: out.value for name, out in result.outputs.items()})

        return self.operate(site, "make", make)

    def outputs(self, site: Site) -> SiteOutputs | None:
        """What the last `up` exported, read from the state's file: no engine, no passphrase."""
        for resource in self._deployment(site).get("resources") or []:
            if resource["type"] == STACK_TYPE and resource.get("outputs"):
                return SiteOutputs.from_json(resource["outputs"])
        return None

    def down(self, site: Site) -> None:
        """Destroy what `up` made; nothing there is no error."""

        def destroy() -> object:
            return self.stack(site).destroy(color="never", suppress_outputs=True, parallel=PARALLEL)

        if self.state_file(site).exists():
            self.operate(site, "destroy", destroy)

    def state(self, site: Site) -> bytes | None:
        """The stack's state as `pulumi stack import` takes it; secrets in it are encrypted."""
        deployment = self._deployment(site)
        if not deployment:
            return None
        return json.dumps({"version": 3, "deployment": deployment}, indent=1, sort_keys=True).encode()

    def adopt(self, site: Site, exported: bytes, *, over: bool = False) -> None:
        """Let the engine take over a state that another machine exported, without a call to any vendor.

        A state of this machine's own is replaced only when told to, and a copy of it put aside before.
        """
        import pulumi.automation as auto

        own = self.state_file(site)
        if own.exists() and not over:
            raise already_there(site, own)
        try:
            told = json.loads(exported)
            deployment = auto.Deployment(version=int(told["version"]), deployment=told["deployment"])
        except (ValueError, KeyError, TypeError) as error:
            raise MissingPart(
                f"{site.name}: what the vault holds is no state of a stack",
                f"{type(error).__name__}: {error}",
                "Look at the other vaults' state/ for this site.",
            ) from error
        if own.exists():
            self._copy_aside(site, own)
        self.operate(site, "restore", lambda: self.stack(site).import_stack(deployment))

    def _copy_aside(self, site: Site, own: Path) -> None:
        """Named by its contents, so that no other copy is written over."""
        aside = (
            self.backend.state / "overtaken" / f"{site.name}-{hashlib.sha256(own.read_bytes()).hexdigest()[:16]}.json"
        )
        aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy2(own, aside)

    def operate(self, site: Site, verb: str, action: Callable[[], T]) -> T:
        """Run one engine operation, with what a killed run left cleared away and errors in our words."""
        import pulumi.automation as auto

        said.check_passphrase(self.backend.passphrase)
        self.clear_stale_lock(site)
        end_orphans(self.backend.url)
        try:
            with _ONE_AT_A_TIME:
                return action()
        except auto.CommandError as error:
            raise said.translate(str(error), site, verb) from error
        except (OSError, auto.InvalidVersionError) as error:
            raise _no_engine(str(error)) from error

    def stack(self, site: Site) -> auto.Stack:
        """The site's stack, with the same program that plain `pulumi up` runs."""
        sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]
        import pulumi.automation as auto

        from stacks.program import run

        for folder in (self.backend.state, self.backend.work, self.backend.home):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _lend_plugins(self.backend.home)
        options = auto.LocalWorkspaceOptions(
            work_dir=str(self.backend.work),
            pulumi_home=str(self.backend.home),
            env_vars=self._environment(),
            pulumi_command=_engine(self.backend.home),
            secrets_provider="passphrase",
            project_settings=auto.ProjectSettings(name=PROJECT, runtime="python", main=str(ROOT)),
        )
        return auto.create_or_select_stack(site.name, project_name=PROJECT, program=run, opts=options)

    def _environment(self) -> dict[str, str]:
        """What the engine and its plugins are told; the plugins find our Python and our checkout."""
        path = [str(Path(sys.executable).parent), str(caches.engine()), os.environ.get("PATH", os.defpath)]
        return {
            **QUIET,
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": str(ROOT),
            "PULUMI_BACKEND_URL": self.backend.url,
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.backend.passphrase),
            "RESILIENCE_ACCOUNT_TOKEN": self.token or "",
            **self.credentials(),
        }

    def _config(self, site: Site) -> dict[str, auto.ConfigValue]:
        """The stack's configuration; nothing in it is a secret."""
        least = site.machine
        hosts = [{"address": a, "hostKey": self._host_key(site, a)} for a in site.addresses]
        values = {
            "kind": site.stack,
            "vendor": site.vendor,
            "size": site.size,
            "machine": json.dumps({"cpu": least.cpu, "memoryGb": least.memory_gb, "diskGb": least.disk_gb}),
            "type": site.type,
            "fleet": self.fleet,
            "region": site.region,
            "zone": site.zone,
            "image": site.image,
            "disk": site.disk,
            "network": site.network,
            "operators": json.dumps(self.operators),
            "authorizedKey": self.authorized_key,
            "account": self.account or "",
            "hosts": json.dumps(hosts),
        }
        return config_of(values, site.region)

    def _host_key(self, site: Site, address: str) -> str:
        if address not in self.host_keys:
            raise MissingPart(
                f"{site.name}: no host key is known for {address}",
                "Hosts that are simply there are pinned too; nothing is trusted on first use.",
                f"Put its public key (`ssh-ed25519 AAAA…`) into the kit: host_keys/{address}.pub.",
            )
        return self.host_keys[address]

    def state_file(self, site: Site) -> Path:
        """Where the engine keeps this stack's state."""
        return self.backend.state / ".pulumi" / "stacks" / PROJECT / f"{site.name}.json"

    def _deployment(self, site: Site) -> dict[str, Any]:
        """The stack's deployment as its file holds it; empty when there is none."""
        try:
            checkpoint = json.loads(self.state_file(site).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise said.broken_state(site, self.state_file(site), str(error)) from error
        return dict(checkpoint.get("checkpoint", {}).get("latest") or {})

    def _begun(self, site: Site) -> list[str]:
        """What a run was making when it was ended, as the engine noted before it asked for it."""
        pending = self._deployment(site).get("pending_operations") or []
        return [str(one["resource"]["urn"]) for one in pending if one["type"] == "creating"]

    def _known(self, site: Site) -> frozenset[str]:
        """The vendor's names for what the state knows."""
        return frozenset(str(one["id"]) for one in self._deployment(site).get("resources") or [] if one.get("id"))

    def clear_stale_lock(self, site: Site) -> None:
        """Remove locks of engines that no longer run; a living one is somebody at work."""
        for file in (self.backend.state / ".pulumi" / "locks").glob(f"**/{PROJECT}/{site.name}/*.json"):
            if said.lock_is_alive(file, site):
                raise said.locked(site, file)
            file.unlink(missing_ok=True)
        for half in (self.backend.state / ".pulumi").glob("**/*.attrs"):  # of older runs: where empty, no state is read
            half.unlink(missing_ok=True)


def config_of(values: Mapping[str, str], region: str) -> dict[str, auto.ConfigValue]:
    """A stack's configuration; AWS's provider is told a region of its own, since without one it asks nobody anything."""
    import pulumi.automation as auto

    ours = {f"{PROJECT}:{name}": value for name, value in values.items()}
    theirs = {"aws:region": region} if values["kind"].startswith("aws") else {}
    return {name: auto.ConfigValue(value) for name, value in {**ours, **theirs}.items()}


PLUGINS = {"aws": "aws", "gcp": "gcp", "hetzner": "hcloud", "openstack": "openstack"}
"""Stack → the name of its provider's plugin."""


def _close(stack: auto.Stack) -> None:
    """Whatever a killed run began is made now and known by the state, or is not there: nothing is under way any more."""
    import pulumi.automation as auto

    kept = stack.export_stack()
    if kept.deployment is not None:
        done = {**kept.deployment, "pending_operations": []}
        stack.import_stack(auto.Deployment(version=kept.version, deployment=done))


def has_plugin(stack: str) -> bool:
    """Whether the plugin that a stack needs is on PATH or in Pulumi's own home, so that no network is asked for it."""
    name = f"resource-{PLUGINS[stack]}"
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    return shutil.which(f"pulumi-{name}") is not None or any(home.glob(f"{name}-v*/"))


def _lend_plugins(home: Path) -> None:
    """Let the engine find plugins that the operator has in Pulumi's own home."""
    own = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    if own.is_dir() and own.resolve() != (home / "plugins").resolve() and not (home / "plugins").exists():
        (home / "plugins").unlink(missing_ok=True)
        (home / "plugins").symlink_to(own.resolve())


def _engine(home: Path) -> auto.PulumiCommand:
    """The engine bootstrap made; what it logs goes to `home`, not to the user's own folder."""
    try:
        return _command(str(caches.engine().parent), str(home))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise _no_engine(str(error)) from error


@functools.cache
def _command(root: str, home: str) -> auto.PulumiCommand:
    """Made once for each process: the SDK runs the engine to ask for its version, with this process's environment."""
    import pulumi.automation as auto

    before = os.environ.get("PULUMI_HOME")
    os.environ["PULUMI_HOME"] = home
    try:
        return auto.PulumiCommand(root=root, skip_version_check=True)
    finally:
        del os.environ["PULUMI_HOME"]
        os.environ.update({} if before is None else {"PULUMI_HOME": before})


def _no_engine(why: str) -> MissingPart:
    return MissingPart("The Pulumi engine does not run", why, "Run scripts/bootstrap: it makes the engine anew.")


def already_there(site: Site, state: Path) -> Refused:
    """Why nothing is brought over a state."""
    return Refused(
        f"{site.name} has a state on this machine already.",
        f"{state} may be newer, and nothing is written over it.",
        "Use it as it is; or move it away first if you are sure.",
    )
