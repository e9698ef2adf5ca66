"""fleet.toml: everything wrong with it is said with its place, its reason and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience import config
from resilience.errors import Exit, FleetError
from resilience.model import Machine

GOOD = """\
[fleet]
name = "plaza"
app = "plaza"
lab = true

[promise]
rto_s = 90
rpo_s = 2

[names]
host = "plaza.test"
ttl_s = 30

[[names.zone]]
vendor = "acorn"
kind = "powerdns"
endpoint = "http://198.18.1.53:8081"

[[names.zone]]
vendor = "dover"
kind = "powerdns"
endpoint = "http://198.18.4.53:8081"

[replication]
k = 2
s = 2

[[vendor]]
name = "acorn"
account = "http://198.18.1.2"

[[vendor]]
name = "birch"

[[vendor]]
name = "cedar"

[[vendor]]
name = "dover"

[[site]]
name = "acorn"
vendor = "acorn"
stack = "lab"

[[site]]
name = "cedar"
vendor = "cedar"
stack = "baremetal"
addresses = ["198.18.3.100"]

[[vault]]
name = "birch"
vendor = "birch"
kind = "gcs"
endpoint = "http://198.18.2.3"
bucket = "plaza-vault"

[[vault]]
name = "cedar"
vendor = "cedar"
kind = "s3"
endpoint = "http://198.18.3.3"
bucket = "plaza-vault"

[[vault]]
name = "dover"
vendor = "dover"
kind = "s3"
endpoint = "http://198.18.4.3"
bucket = "plaza-vault"
"""

WRONG = [
    ("a typo in a key", "rto_s = 90", "rto = 90", ["fleet.toml:7", "promise.rto", "rto_s"]),
    ("a missing key", "rpo_s = 2\n", "", ["promise.rpo_s", "missing"]),
    ("no table of the fleet", GOOD[:GOOD.index("[promise]")], "", ["fleet", "missing", "a table [fleet]", "examples/"]),
    ("no vault", GOOD[GOOD.index("[[vault]]"):], "", ["vault", "missing", "a table [[vault]]", "examples/"]),
    ("no zone", GOOD[GOOD.index("[[names.zone]]"):GOOD.index("[replication]")], "", ["names.zone", "a table [[names.zone]]"]),
    ("an unknown vendor", 'vendor = "acorn"\nstack', 'vendor = "akorn"\nstack', ["site[0].vendor", "akorn", "acorn"]),
    ("a vault at the primary's vendor", 'vendor = "birch"\nkind', 'vendor = "acorn"\nkind', ["vault[0].vendor", "primary"]),
    ("k + s <= n", "k = 2\ns = 2", "k = 1\ns = 2", ["replication.s", "more than n = 3", "s = 3"]),
    ("s <= n/2", "k = 2\ns = 2", "k = 3\ns = 1", ["replication.s", "half"]),
    ("k above n", "k = 2", "k = 4", ["replication.k", "only 3 vaults that count"]),
    ("a name used twice", 'name = "cedar"\nvendor = "cedar"\nkind', 'name = "birch"\nvendor = "cedar"\nkind', ["vault[1].name", "birch"]),
    ("a wrong type", "ttl_s = 30", 'ttl_s = "thirty"', ["fleet.toml:12", "names.ttl_s", "integer"]),
    ("not TOML", "[promise]", "[promise", ["not valid TOML", "line 6"]),
    ("bare metal without hosts", 'addresses = ["198.18.3.100"]\n', "", ["site[1]", "addresses"]),
    ("an address that is none", '"198.18.3.100"', '"198.18.3.300"', ["site[1].addresses", "198.18.3.300"]),
    ("an unknown stack", 'stack = "lab"', 'stack = "nimbus"', ["site[0].stack", "nimbus", "baremetal"]),
    ("an unknown app", 'app = "plaza"', 'app = "agora"', ["fleet.app", "agora"]),
    ("two zones at one vendor", 'vendor = "dover"\nkind = "powerdns"', 'vendor = "acorn"\nkind = "powerdns"', ["names.zone", "acorn"]),
    ("a URL that is none", '"http://198.18.2.3"', '"198.18.2.3"', ["vault[0].endpoint", "URL"]),
    ("a host that is none", '"plaza.test"', '"plaza test"', ["names.host", "plaza test"]),
    ("an endless promise", "rto_s = 90", "rto_s = inf", ["promise.rto_s"]),
    ("one bucket twice", '"http://198.18.4.3"', '"http://198.18.3.3"', ["vault[2].bucket", "cedar"]),
    ("an unknown size", 'stack = "lab"', 'stack = "lab"\nsize = "huge"', ["site[0].size", "small", "huge"]),
    ("a machine without a disk", 'stack = "lab"', 'stack = "lab"\nmachine = { cpu = 2, memory_gb = 4 }', ["machine.disk_gb", "missing"]),
    ("a cloud site without a region", 'stack = "lab"', 'stack = "aws"', ["site[0]", "region"]),
    ("a kind of disk where there is none", 'stack = "lab"', 'stack = "hetzner"\nregion = "fsn1"\ndisk = "luks"', ["site[0].disk", "hetzner"]),
    ("a disk's key where there is no disk", 'stack = "lab"', 'stack = "lab"\ndisk_key = true', ["site[0].disk_key", "kernel"]),
    ("SSH from nowhere", 'stack = "lab"', 'stack = "hetzner"\nregion = "fsn1"', ["fleet.operators", "acorn"]),
    ("a network with host bits", "lab = true", 'lab = true\noperators = ["203.0.113.7/24"]', ["fleet.operators", "host bits", "203.0.113.0/24", "203.0.113.7 "]),
    ("a vault without a bucket", '"plaza-vault"', '""', ["vault[0].bucket", "no bucket's name"]),
    ("a bucket that no store takes", '"plaza-vault"', '"Corner Vault!"', ["vault[0].bucket", "Corner Vault!"]),
    ("SSH from the world", "lab = true", 'lab = true\noperators = ["0.0.0.0/1"]', ["fleet.operators", "world"]),
    ("a public network behind a site", 'stack = "lab"', 'stack = "lab"\nnetwork = "8.8.0.0/24"', ["site[0].network", "private"]),
    ("one host for two sites", 'stack = "lab"', 'stack = "baremetal"\naddresses = ["198.18.3.0/24"]', ["site[1].addresses", "overlaps", "acorn"]),
    ("two vendors with one network", 'name = "birch"\n', 'name = "birch"\naddresses = ["10.0.0.0/8"]\n[[vendor]]\nname = "x"\naddresses = ["10.1.0.0/16"]\n', ["vendor[2].addresses", "overlaps"]),
    ("a TTL that a vendor does not serve", 'kind = "powerdns"', 'kind = "cloudflare"', ["names.ttl_s", "below 60", "30"]),
    ("a zone that is not named", 'kind = "powerdns"\nendpoint = "', 'kind = "rfc2136"\nendpoint = "dns://192.0.2.53" # ', ["names.zone[0].zone", "rfc2136"]),
    ("a zone that is another's", 'kind = "powerdns"', 'kind = "powerdns"\nzone = "forum.test"', ["names.zone[0].zone", "forum.test"]),
    ("a name server that is nowhere", 'kind = "powerdns"\nendpoint', 'kind = "powerdns"\nzone', ["names.zone[0]"]),
    ("a quorum of copies", '[[vault]]\nname = "cedar"', 'copies_only = true\n[[vault]]\ncopies_only = true\nname = "cedar"', ["replication.k", "only 1 vaults that count"]),
    ("an SFTP box that counts", 'kind = "gcs"\nendpoint = "http://198.18.2.3"', 'kind = "sftp"\nendpoint = "sftp://box.test:23"', ["vault[0].kind", "copies_only", "never counts in n"]),
    ("an SFTP box with a lock", 'kind = "gcs"\nendpoint = "http://198.18.2.3"', 'kind = "sftp"\nlock_days = 14\nendpoint = "sftp://box.test"', ["vault[0].lock_days", "no lock"]),
    ("an SFTP box with its user", 'kind = "gcs"\nendpoint = "http://198.18.2.3"', 'kind = "sftp"\nendpoint = "sftp://u@box.test"', ["vault[0].endpoint", "kit"]),
    ("a boundary that is no policy", 'kind = "gcs"', 'kind = "gcs"\nboundary = "resilience-vault"', ["vault[0].boundary"]),
    ("a boundary elsewhere than at AWS", 'kind = "gcs"', 'kind = "gcs"\nboundary = "arn:aws:iam::123456789012:policy/b"', ["vault[0].boundary", "only AWS"]),
    ("a bucket of another kind", 'kind = "gcs"', 'kind = "gcs"\nstack = "aws"', ["vault[0].stack", "gcs"]),
    ("a whole SOA", "ttl_s = 30", 'ttl_s = 30\n[[names.record]]\nname = "@"\ntype = "SOA"\nvalues = ["ns.x. h.x. 1 7200 900 1209600 300"]', ["names.record[0].values", "timers alone"]),
    ("two SOAs", "ttl_s = 30", "ttl_s = 30" + 2 * '\n[[names.record]]\nname = "@"\ntype = "SOA"\nvalues = ["7200 900 1209600 300"]', ["names.record", "declared twice"]),
    ("a negative promise", "rto_s = 90", "rto_s = -1", ["promise.rto_s", "greater than 0"]),
]  # fmt: skip


def test_a_good_file_is_loaded() -> None:
    """Everything declared arrives in the fleet."""
    fleet = config.parse(GOOD)
    assert fleet.primary.name == "acorn"
    assert [v.name for v in fleet.vaults_for("cedar")] == ["birch", "dover"]
    assert fleet.names.zones[1].vendor == "dover"
    assert fleet.promise.rto_s == 90


def test_a_site_at_a_vendor_is_loaded() -> None:
    """Region, size, the vendor's own type and evidence of one's own arrive in the fleet."""
    cloud = 'stack = "aws"\nregion = "eu-central-1"\nlive = 2026-11-24\nmachine = { cpu = 2, memory_gb = 16, disk_gb = 100 }'
    text = GOOD.replace('stack = "lab"', cloud).replace("lab = true", 'operators = ["192.0.2.7/32"]')
    site = config.parse(text).primary
    assert (site.region, site.machine, site.type) == ("eu-central-1", Machine(2, 16, 100), "")
    assert str(site.evidence) == "live (2026-11-24)"
    assert config.parse(text.replace("live = 2026-11-24\n", "")).primary.evidence.level == "emulated"


@pytest.mark.parametrize(("what", "old", "new", "said"), WRONG, ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_named(what: str, old: str, new: str, said: list[str]) -> None:
    """The error names the place and the reason, and ends in exit status 2."""
    assert old in GOOD
    with pytest.raises(FleetError) as raised:
        config.parse(GOOD.replace(old, new, 1))
    for words in said:
        assert words in str(raised.value)
    assert raised.value.exit_code == Exit.USAGE


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """No file: the error says which one, and what to do."""
    with pytest.raises(FleetError, match=r"lab up"):
        config.load(tmp_path / "none.toml")


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    """Editors on Windows begin a file with it; the fleet is the same."""
    path = tmp_path / "fleet.toml"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert config.load(path) == config.parse(GOOD)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """A binary file is an error, never a crash."""
    path = tmp_path / "fleet.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FleetError, match="UTF-8"):
        config.load(path)
