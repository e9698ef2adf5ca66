"""What a site's host is told: files that stay there, and the configuration of each command.

Secrets travel in a command's configuration, through a pipe and never as a file;
only ship's own, which can encrypt and put but not read, stays on the host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

import structlog

from resilience.adapters import rules
from resilience.adapters.host_places import DATA, ETC, PATHS, POSTGRES
from resilience.adapters.host_scripts import APP_ENV
from resilience.adapters.host_tls import tls_files
from resilience.adapters.kit import Kit
from resilience.adapters.signer import KitSigner
from resilience.errors import ResilienceError
from resilience.host.gate import FOLDER, MARKS, PASS_VARIABLE
from resilience.host.spec import File
from resilience.model import EpochRecord, Fleet, Site, Stage, VaultSpec
from resilience.ports import Vault
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication import layout
from resilience.replication.mirrored import Mirrored, within
from resilience.replication.vaults import place

LABELS = 3
"""So many of the newest snapshots of a vault's repository are offered from a mirror."""
SITE, STANDBY = BOTH = ("restic_password", "standby_password")
"""Passwords of the snapshots that sites take, and of those that standbys take."""
log = structlog.get_logger()


@dataclass(frozen=True)
class HostConfig:
    """One fleet's settings and secrets, chosen for whoever needs them."""

    fleet: Fleet
    kit: Kit
    vaults: Mapping[str, Vault]
    """Opened by the operator, to read epochs."""
    signer: KitSigner
    gate_rules: str
    """What the proxy lets through at which stage."""
    ready_path: str = "/readyz"
    """The app's probe, which the proxy answers by plain HTTP, too."""
    media_query: Mapping[str, Any] | None = None
    """How the app's rows name their pictures."""
    mirrors: Mapping[str, Vault] = field(default_factory=dict)
    """Opened by the operator, to read labels."""
    forced: bool = False
    """The vaults that are left count as all there ever were."""

    def keys(self, site: Site, epoch: EpochRecord) -> list[File]:
        """Files that belong to one site and epoch; a standby gets none that signs or ships."""
        gate = File(f"{ETC}/gate.caddy", self.gate_rules)
        if epoch.site != site.name:
            return [gate, File(f"{ETC}/durability.conf", "")]
        if epoch.signer:  # none yet while a move is prepared
            self.signer.hold(epoch)
        names = self.fleet.names
        secret = {
            "site.key": self.kit.site_key(site.name, epoch.number).read_text(),
            "ship.json": json.dumps(self.ship(site, epoch)),
            "gate.env": f"{PASS_VARIABLE}={self.kit.gate_pass(site.name, epoch.number)}\n",
        }
        sign_ups = f"{FOLDER}/{MARKS[Stage.SIGN_UPS]}"
        app = APP_ENV.format(data=DATA, etc=ETC, url=f"{names.scheme}://{names.host}", sign_ups=sign_ups)
        if self.fleet.rehearsal:
            app += f"SENDS=off\nLEDGER_PREFIX={self.fleet.beneath}\n"
        mine = {name: path.read_text() for name, path in self.kit.app_keys.items()}
        if (endpoints := self.kit.endpoints) is not None:
            mine |= {"endpoints.pub": endpoints[0], "endpoints.json": endpoints[1]}
            app += f"ENDPOINTS={ETC}/endpoints.json\nENDPOINTS_KEY={ETC}/endpoints.pub\n"
        if (recipient := self.kit.hold_recipient) is not None:
            app += f"HOLD_RECIPIENT={recipient}\n"
        return [
            *(File(f"{ETC}/{name}", text, mode="600") for name, text in secret.items()),
            *(File(f"{ETC}/{name}", text, "plaza", "plaza", "400") for name, text in mine.items()),
            File(f"{ETC}/app.env", app, mode="640", group="plaza"),
            File(f"{ETC}/durability.conf", rules.for_postgres(self.fleet.replication)),
            gate,
            *tls_files(names, self.kit, self.vaults, self.signer.verify, self.ready_path),
        ]

    def seen(self) -> EpochRecord | None:
        """The newest epoch that any vault shows."""
        return epochs.newest_of(self.vaults, self.signer.verify)

    def newest(self, site: Site) -> EpochRecord:
        """The newest epoch, which must let this site write."""
        epoch = self.seen()
        if epoch is None or epoch.site != site.name:
            raise ResilienceError(
                f"No epoch names {site.name}.",
                f"The newest names {epoch.site}." if epoch else "No vault shows one.",
                "Run `resilience status`, then plan again.",
            )
        return epoch

    def ship(self, site: Site, epoch: EpochRecord, *, restic: bool = False, also: Sequence[str] = ()) -> dict[str, Any]:
        """What the primary may hold: it can encrypt and put, into its epoch's vaults and those it will turn to.

        In the file that stays with it every vault of its epoch is named, also a lost one: it turns away from that under
        the next epoch, and not before. So are those of the epochs under which it may be until it has turned to this one.
        """
        if restic:
            config, told = self._common(site, epoch, "ship", (SITE,), also=also), {*epoch.vaults, *also}
        else:
            under = epochs.may_be_under(self.vaults, epoch, self.signer.verify)
            named = {name for record in under for name in record.vaults}
            config, told = self._common(site, epoch, "ship", also=also, named=tuple(named)), {*named, *also}
        config["vaults"] = [v for v in config["vaults"] if v["name"] in told]
        return config

    def reader(self, site: Site, epoch: EpochRecord, *, also: Sequence[str] = ()) -> dict[str, Any]:
        """What a restore needs: it can read everything, and put the chain's end again."""
        config = self._common(site, epoch, "reader", BOTH, also=also)
        for vault in config["vaults"]:
            vault["write_credentials"] = self.kit.vault(vault["name"], "ship")
        return {**config, **self._opening(), "forced": self.forced}

    def follower(self, site: Site, epoch: EpochRecord, *, also: Sequence[str] = ()) -> dict[str, Any]:
        """What a standby may hold: it can read everything, and put nothing."""
        config = self._common(site, epoch, "reader", BOTH, also=also)
        del config["signing_key_file"]
        return {**config, **self._opening(), "standby": True}

    def _opening(self) -> dict[str, Any]:
        """What opens copies, and tells what the app wrote in them from what anybody else did."""
        return {
            "identity": self.kit.identity(),
            "ledger_public_key": self.signer.ledger_public,
            "media_query": self.media_query,
        }

    def copier(self, site: Site, epoch: EpochRecord) -> dict[str, Any]:
        """What a standby needs for a snapshot, while it takes one: to put the snapshot's data, and nothing that signs."""
        config = self._common(site, epoch, "standby", (STANDBY,))
        del config["signing_key_file"]
        return {**config, "standby": True}

    def watcher(self, *, also: Sequence[str] = ()) -> dict[str, Any]:
        """What a copy beside everything else needs: to read, whoever may write."""
        epoch = self.seen()
        if epoch is None:
            raise ResilienceError("No vault shows an epoch.", "Nothing was ever shipped.", "Run `resilience up` first.")
        return self.follower(self.fleet.site(epoch.site), epoch, also=also)

    def bare(self, site: Site, epoch: EpochRecord) -> dict[str, Any]:
        """What `status` needs: no secret at all."""
        config = self._common(site, epoch, "reader")
        return {**config, "standby": True, "vaults": []}

    def mirrored(self, principal: str) -> list[dict[str, Any]]:
        """What mirrors hold: each vault's newest labels there, and the way in for one principal, where it has one."""
        opened = [
            spec for spec in self.fleet.mirrors if spec.name in self.mirrors and self.kit.has(spec.name, principal)
        ]
        found = [(spec, of, self._labels(spec.name, of.name)) for spec in opened for of in self.fleet.sealing]
        return [
            {"name": spec.name, "labels": labels, "stands_for": self._stands_for(spec, of.name, principal)}
            for spec, of, labels in found
            if labels
        ]

    def holding(self, mirror: str, snapshot: str = "") -> str | None:
        """The vault whose newest label a mirror holds, or the one with this snapshot; None where there is none."""
        keys = {spec.name: list(self._labels(mirror, spec.name)) for spec in self.fleet.sealing}
        fits = {of: named[0] for of, all_ in keys.items() if (named := [key for key in all_ if snapshot in key])}
        return max(fits, key=lambda of: fits[of], default=None)

    def double(self, mirror: str, of: str) -> dict[str, Any]:
        """What looking at a mirror takes, as if it were the vault that was copied there."""
        config = self.watcher()
        vault = self._stands_for(self.fleet.vault(mirror), of, "operator")
        return {**config, "vaults": [vault], "sealed": [of]}

    def _stands_for(self, mirror: VaultSpec, of: str, principal: str) -> dict[str, Any]:
        return {
            **place(replace(mirror, name=of, within=within(of))),
            "credentials": self.kit.vault(mirror.name, principal),
            "restic_password": self.kit.restic_password(of),
            "standby_password": self.kit.standby_password(of),
        }

    def _labels(self, mirror: str, of: str) -> dict[str, str]:
        """Labels of snapshots that are there, the newest first; none where the mirror does not answer: nothing waits for it.

        Whoever has ship's credentials can put names into a vault, which are copied: only what is signed counts, and of each
        repository only a few, so that a thief who can sign for one epoch leaves room for those before it.
        """
        store, newest = Mirrored(self.mirrors[mirror], within(of), of), self.seen()
        known = {} if newest is None else {record.number: record for record in (*self._parents(newest), newest)}
        found: dict[str, list[str]] = {}
        try:
            for label in chain.from_iterable(labels.find({of: store}, known, self.signer.verify)):
                mine = found.setdefault(label.repository, [])
                if len(mine) < LABELS and store.list(layout.snapshot(label.repository, label.snapshot)):
                    mine.append(label.key)
            return {key: data.decode() for key in chain.from_iterable(found.values()) if (data := store.get(key))}
        except (ResilienceError, UnicodeDecodeError) as error:
            log.warning("a mirror is of no use now", mirror=mirror, why=str(error))
            return {}

    def auditor(self) -> dict[str, Any]:
        """What reading the ledger beside everything else needs: to read every vault."""
        return self.watcher(also=tuple(self.vaults))

    def operator(self, site: Site, epoch: EpochRecord, vault: str) -> dict[str, Any]:
        """What makes a repository in one vault."""
        config = self._common(site, epoch, "operator", BOTH)
        return {**config, "vaults": [v for v in config["vaults"] if v["name"] == vault]}

    def _common(
        self,
        site: Site,
        epoch: EpochRecord,
        principal: str,
        passwords: Sequence[str] = (),
        *,
        also: Sequence[str] = (),
        named: Sequence[str] = (),
    ) -> dict[str, Any]:
        parents = self._parents(epoch)
        older = epochs.to_read(self.vaults, epoch.parent, self.signer.verify)
        wanted = {*epoch.vaults, *also}.union(*(old.vaults for old in older))
        keeps = {SITE: self.kit.restic_password, STANDBY: self.kit.standby_password}
        vaults = [
            {
                **place(spec),
                **({"locked": True} if spec.name in self.fleet.locked else {}),
                "credentials": self.kit.vault(spec.name, principal),
                **{name: ask(spec.name) for name, ask in keeps.items() if name in passwords},
            }
            for spec in self.fleet.vaults
            if spec.name in named or (spec.name in wanted and spec.name in self.vaults)
        ]
        return {
            "site": site.name,
            "fleet": self.fleet.name,
            **({"rehearsal": self.fleet.rehearsal} if self.fleet.rehearsal else {}),
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
