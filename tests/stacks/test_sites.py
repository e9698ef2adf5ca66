"""One contract over every stack at a vendor: same outputs, nothing open but what is named, nothing secret in clear."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from resilience.model import CLOUDS, ENCRYPTED, SIZES, Machine
from stacks import sizes
from stacks.contract import SiteArgs, Unfit
from stacks.first_boot import GUARD
from stacks.openings import WORLD, openings
from tests.stacks.vendors import (
    ADDRESS,
    ARGS,
    LOOKUPS,
    OUR_KEY,
    PRIVATE,
    PUBLIC,
    Asked,
    Made,
    Vendor,
    is_secret,
    make_site,
    plain,
    walk,
)

KINDS = sorted(CLOUDS)
HOSTS = ("Server", "Instance")
UNMARKED = frozenset(
    {
        "HostKey",  # ours, at no vendor
        "RouteTableAssociation",
        "RouterInterface",
        "SecGroupRule",
        "Firewall:gcp",
        "Network:gcp",
        "Subnetwork",
    }
)
"""What vendors have no marks for; its name says whose it is, or what it belongs to."""
LATER = {
    **LOOKUPS,
    "hcloud:index/getServerType:getServerType": {**LOOKUPS["hcloud:index/getServerType:getServerType"], "name": "cx43"},
    "hcloud:index/getImage:getImage": {"id": 214690387, "name": "debian-12"},
    "hcloud:index/getSshKey:getSshKey": {"name": "plaza", "publicKey": f"{OUR_KEY[:-4]}new us"},
    "aws:ec2/getAmi:getAmi": {"id": "ami-debian12-v2", "architecture": "x86_64"},
    "gcp:compute/getImage:getImage": {"selfLink": "projects/debian-cloud/global/images/debian-12-v3"},
    "openstack:compute/getFlavor:getFlavor": {"id": "flavor-2"},
    "openstack:images/getImage:getImage": {"id": "image-2"},
}
"""What vendors answer once they have newer images, and are asked for another size by somebody with another key."""
SOURCE = ("cidrIpv4", "cidrIpv6", "remoteIpPrefix")
Open = set[tuple[int, str]]


@pytest.fixture(scope="module")
def sites() -> dict[str, Made]:
    """Each site, made once."""
    return {kind: make_site(kind) for kind in KINDS}


def test_every_cloud_is_tried_here() -> None:
    """No stack at a vendor goes without this suite."""
    assert set(ARGS) == CLOUDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_outputs_are_the_same_everywhere(sites: dict[str, Made], kind: str) -> None:
    """One public IPv4 address, our host key, root, port 22: whoever the vendor is."""
    assert sites[kind].outputs == {
        "addresses": [ADDRESS],
        "host_keys": [PUBLIC],
        "ssh_user": "root",
        "ssh_port": 22,
    }


def _hetzner(made: Made) -> Open:
    (firewall,), (server,) = made.of("Firewall"), made.of("Server")
    assert len(server.inputs["firewallIds"]) == 1
    assert {(rule["direction"], rule["protocol"]) for rule in firewall.inputs["rules"]} == {("in", "tcp")}
    return {(int(rule["port"]), source) for rule in firewall.inputs["rules"] for source in rule["sourceIps"]}


def _aws(made: Made) -> Open:
    (group,), (host,) = made.of("SecurityGroup"), made.of("Instance")
    assert not group.inputs.get("ingress")
    assert len(host.inputs["vpcSecurityGroupIds"]) == 1
    found = set()
    for rule in made.of("SecurityGroupIngressRule"):
        assert (rule.inputs["ipProtocol"], rule.inputs["fromPort"]) == ("tcp", rule.inputs["toPort"])
        assert ("cidrIpv4" in rule.inputs) != ("cidrIpv6" in rule.inputs)
        found.add((int(rule.inputs["fromPort"]), rule.inputs.get("cidrIpv4") or rule.inputs["cidrIpv6"]))
    return found


def _gcp(made: Made) -> Open:
    (network,), (host,) = made.of("Network"), made.of("Instance")
    assert network.inputs["autoCreateSubnetworks"] is False
    found = set()
    for wall in made.of("Firewall"):
        (allowed,) = wall.inputs["allows"]
        assert wall.inputs["targetTags"] == host.inputs["tags"]
        assert (wall.inputs["direction"], allowed["protocol"], len(allowed["ports"])) == ("INGRESS", "tcp", 1)
        assert len({":" in source for source in wall.inputs["sourceRanges"]}) == 1, "Google refuses mixed families"
        found |= {(int(allowed["ports"][0]), source) for source in wall.inputs["sourceRanges"]}
    return found


def _openstack(made: Made) -> Open:
    (port,) = made.of("Port")
    assert len(port.inputs["securityGroupIds"]) == 1
    found = set()
    for rule in made.of("SecGroupRule"):
        assert (rule.inputs["direction"], rule.inputs["protocol"]) == ("ingress", "tcp")
        assert rule.inputs["portRangeMin"] == rule.inputs["portRangeMax"]
        assert rule.inputs["ethertype"] == ("IPv6" if ":" in rule.inputs["remoteIpPrefix"] else "IPv4")
        found.add((int(rule.inputs["portRangeMin"]), rule.inputs["remoteIpPrefix"]))
    return found


OPEN: dict[str, Callable[[Made], Open]] = {
    "hetzner": _hetzner,
    "aws": _aws,
    "gcp": _gcp,
    "openstack": _openstack,
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_open_but_what_is_named(sites: dict[str, Made], kind: str) -> None:
    """SSH from the operators, 80 and 443 from the world, and no other rule."""
    found = OPEN[kind](sites[kind])
    assert found == {(one.port, source) for one in openings(ARGS[kind]) for source in one.sources}
    assert {port for port, source in found if source in WORLD} == {80, 443}


@pytest.mark.parametrize("kind", ["aws", "openstack"])
def test_an_operator_who_is_taken_out_takes_one_rule_along(kind: str) -> None:
    """The others' rules stay as they are: one that became another's would be refused as a double while that one's is still there."""
    one, two = "198.51.100.7/32", "2001:db8:7::/64"

    def rules(*operators: str) -> dict[str, tuple[Any, ...]]:
        made = make_site(kind, replace(ARGS[kind], operators=operators)).of("SecurityGroupIngressRule", "SecGroupRule")
        names = {rule.name: tuple(rule.inputs.get(key) for key in SOURCE) for rule in made}
        assert len(names) == len(made) == len(operators) + 4
        assert not [name for name in names if ":" in name]
        assert {f"plaza-oak-ssh-{n}" for n in range(len(operators))} <= {old for rule in made for old in rule.former}, (
            "rules that were made under their old names are these"
        )
        return names

    both = rules(one, two)
    for left in (rules(one), rules(two), rules(two, one)):
        assert left.items() <= both.items()


@pytest.mark.parametrize("kind", KINDS)
def test_without_operators_nothing_is_made(kind: str) -> None:
    """A site that nobody may reach, or everybody, is not begun."""
    vendor = Vendor()
    with pytest.raises(Unfit, match="operators is not given"):
        make_site(kind, replace(ARGS[kind], operators=()), vendor)
    assert vendor.count == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_host_key_is_ours_and_never_in_clear(sites: dict[str, Made], kind: str) -> None:
    """The private half is told to the host's first boot, as a secret, and is nowhere else."""
    (host,) = sites[kind].of(*HOSTS)
    told = [value for value in host.inputs.values() if is_secret(value) and PRIVATE.splitlines()[1] in plain(value)]
    assert len(told) == 1
    assert PUBLIC in plain(told[0])
    assert OUR_KEY in plain(told[0])
    clear = [value for one in sites[kind].asked for key in one.inputs for value in _clear(one.inputs[key])]
    assert not [value for value in clear if "secret-half" in value]


def _clear(value: Any) -> list[str]:
    return [] if is_secret(value) else [str(part) for part in walk(value) if isinstance(part, str)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_credential_is_asked_for(sites: dict[str, Made], kind: str) -> None:
    """Providers are the default ones: they read credentials from the environment, so no state can hold them."""
    assert not [one.type for one in sites[kind].asked if one.type.startswith("pulumi:providers:")]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_names_the_fleet(sites: dict[str, Made], kind: str) -> None:
    """Tags or labels say which fleet and site a thing belongs to; whoever finds it on a bill knows."""
    for one in sites[kind].asked:
        short = one.type.rpartition(":")[2]
        if short in UNMARKED or f"{short}:{kind}" in UNMARKED:
            continue
        marks: Any = one.inputs.get("labels") or one.inputs.get("tags")
        given = {f"{k}={v}" for k, v in marks.items()} if isinstance(marks, dict) else set(marks)
        assert {"fleet=plaza", "site=oak"} <= given, one.type


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Each leaf below its path, as `ignore_changes` names it."""
    if isinstance(value, dict) and not is_secret(value):
        return {at: leaf for name, part in value.items() for at, leaf in _flat(part, f"{path}.{name}").items()}
    return {path.removeprefix("."): plain(value) if is_secret(value) else str(value)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("disk", ["", "classic-luks"])
def test_a_newer_image_or_another_size_or_login_asks_nothing_of_a_host_that_is_there(kind: str, disk: str) -> None:
    """Vendors make a host with its disk anew for most of it; a disk they refuse to shrink, or want a right for that the kit has not."""
    small = replace(ARGS[kind], disk=disk)
    large = replace(small, machine=SIZES["large"], authorized_key=f"{OUR_KEY[:-4]}new us")
    (before,), (after,) = make_site(kind, small).of(*HOSTS), make_site(kind, large, Vendor(LATER)).of(*HOSTS)
    was, will = _flat(before.inputs), _flat(after.inputs)
    changed = {path for path in was.keys() | will.keys() if was.get(path) != will.get(path)}
    assert len(changed) >= 3, "image, size and first-boot text"
    assert not [path for path in changed if not any(f"{path}.".startswith(f"{one}.") for one in after.ignored)]


@pytest.mark.parametrize("kind", KINDS)
def test_disks_are_encrypted_where_the_vendor_can(kind: str) -> None:
    """AWS is told to, Google always does, OpenStack boots from a volume of the given kind; what none does is said by `check`."""
    (host,) = make_site(kind, replace(ARGS[kind], disk="classic-luks" if kind == "openstack" else "")).of(*HOSTS)
    if kind == "aws":
        assert host.inputs["rootBlockDevice"]["encrypted"] is True
        assert host.inputs["rootBlockDevice"]["volumeSize"] == SIZES["small"].disk_gb
    elif kind == "openstack":
        (volume,) = host.inputs["blockDevices"]
        assert (volume["volumeType"], volume["destinationType"], volume["volumeSize"]) == ("classic-luks", "volume", 40)
        assert "imageId" not in host.inputs, "nothing is left on the flavor's own disk"
    else:
        assert (kind in ENCRYPTED) is (kind == "gcp")


def test_without_a_kind_of_disk_openstack_boots_from_the_flavors_own() -> None:
    """Which is not encrypted by anything we ask for: `check` warns of it."""
    (host,) = make_site("openstack").of("Instance")
    assert (host.inputs["imageId"], host.inputs.get("blockDevices")) == ("image-1", None)


def test_metadata_is_not_for_everybody() -> None:
    """AWS answers with a token only; elsewhere the first boot closes the metadata service to all but root."""
    (aws,), (hetzner,) = make_site("aws").of("Instance"), make_site("hetzner").of("Server")
    assert aws.inputs["metadataOptions"]["httpTokens"] == "required"
    assert "uidrange 1-4294967294 unreachable" in plain(hetzner.inputs["userData"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_debian_12_is_looked_up(sites: dict[str, Made], kind: str) -> None:
    """Where none is given, the vendor's newest Debian 12; where one is, that one."""
    asked = next(args for token, args in sites[kind].looked_up if token.endswith(("getImage", "getAmi")))
    newest = asked.get("mostRecent") or asked.get("family") == "debian-12"
    assert newest
    assert "ebian" in str(asked)
    given = make_site(kind, replace(ARGS[kind], image="our-image"))
    told = next(args for token, args in given.looked_up if token.endswith(("getImage", "getAmi")))
    assert "our-image" in str(told)
    assert [] not in told.values(), "AWS's own provider refuses an empty list of owners"


GONE = [
    ("hetzner", "hcloud:index/getServerType:getServerType", {"locations": [{"name": "hel1"}]}, "cx23 can't be had in fsn1"),
    ("hetzner", "hcloud:index/getServerType:getServerType", {"architecture": "arm"}, "amd64 only"),
    ("hetzner", "hcloud:index/getSshKey:getSshKey", {"publicKey": "ssh-ed25519 AAAA other"}, "not the one in the kit"),
    ("aws", "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings", {"locations": []}, "t3.medium can't be had"),
    ("aws", "aws:ec2/getAmi:getAmi", {"architecture": "arm64"}, "amd64 only"),
    ("gcp", "gcp:compute/getZones:getZones", {"names": []}, "it is no region of Google's"),
    ("gcp", "gcp:compute/getZones:getZones", {"names": ["europe-west3-a"]}, "europe-west3-b is not in region"),
    ("gcp", "gcp:compute/getMachineTypes:getMachineTypes", {"machineTypes": []}, "can't be had in europe-west3-b"),
    ("openstack", "openstack:networking/getNetwork:getNetwork", {"id": ""}, "no external network"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "token", "answer", "said"), GONE)
def test_what_the_vendor_does_not_have_is_said_first(kind: str, token: str, answer: dict[str, Any], said: str) -> None:
    """A type, place, image or key that is not there ends the run before anything is made."""
    vendor = Vendor({**LOOKUPS, token: {**LOOKUPS[token], **answer}})
    asked = replace(ARGS[kind], type="n2-standard-2") if "MachineTypes" in token else ARGS[kind]
    with pytest.raises(Unfit, match=said):
        make_site(kind, asked, vendor)
    assert vendor.count == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_up_that_fails_ends_the_run_first(kind: str) -> None:
    """An error of the vendor's, such as missing credentials or an unknown region, comes before anything is made."""
    vendor = Vendor({})
    with pytest.raises(Exception, match="get"):
        make_site(kind, None, vendor)
    assert vendor.count == 0


@pytest.mark.parametrize(
    ("given", "aws", "hetzner", "gcp"),
    [
        (SIZES["small"], "t3.medium", "cx23", "e2-custom-2-4096"),
        (SIZES["medium"], "c6i.xlarge", "cx33", "e2-custom-4-8192"),
        (SIZES["large"], "c6i.2xlarge", "cx43", "e2-custom-8-16384"),
        (Machine(2, 32, 40), "m6i.2xlarge", "cx53", "e2-custom-4-32768"),
        (Machine(1, 1, 300), "t3.medium", "cx53", "e2-custom-2-1024"),
    ],
)
def test_sizes_are_ours(given: Machine, aws: str, hetzner: str, gcp: str) -> None:
    """Each size is the first type that has at least what it says."""
    asked = replace(ARGS["aws"], machine=given)
    assert (sizes.aws(asked), sizes.hetzner(asked), sizes.gcp(asked)) == (aws, hetzner, gcp)


@pytest.mark.parametrize("choose", [sizes.aws, sizes.hetzner, sizes.gcp])
def test_a_vendors_own_type_goes_first(choose: Callable[[SiteArgs], str]) -> None:
    """What is given is taken; what is too large for the table is refused with the largest, not guessed."""
    assert choose(replace(ARGS["aws"], type="their-own")) == "their-own"
    with pytest.raises(Unfit, match=r"the largest is .* type ="):
        choose(replace(ARGS["aws"], machine=Machine(200, 2000, 40)))


def test_types_are_words_the_vendors_package_knows() -> None:
    """Every EC2 type in the table is in AWS's published list."""
    import pulumi_aws

    assert set(sizes.AWS) <= {str(known.value) for known in pulumi_aws.ec2.InstanceType}


def test_openstack_gives_a_network_of_its_own_a_floating_address() -> None:
    """With `network`, the host stands behind a router; its only public address is the floating one."""
    made = make_site("openstack", replace(ARGS["openstack"], network="10.20.0.0/24"))
    (floating,), (port,), (subnet,) = made.of("FloatingIp"), made.of("Port"), made.of("Subnet")
    assert made.outputs["addresses"] == [ADDRESS]
    assert subnet.inputs["cidr"] == "10.20.0.0/24"
    assert (floating.inputs["pool"], port.inputs["networkId"] != "net-1") == ("Ext-Net", True)


def names(made: list[Asked]) -> list[str]:
    """What resources are called."""
    return [one.name for one in made]


def test_long_names_stay_within_every_vendors_limit() -> None:
    """Google allows 63 characters; the longest names of a fleet and a site still fit, and differ by site."""
    long = replace(ARGS["gcp"], fleet="f" * 31, site="s" * 31)
    made = make_site("gcp", long)
    assert max(map(len, names(list(made.asked)))) <= 63


def test_only_root_reaches_the_metadata_service() -> None:
    """What the first boot's unit runs, run in a network of its own: root has a way there, nobody else, and elsewhere all do."""
    (line,) = [line for line in GUARD.splitlines() if line.startswith("ExecStart=")]
    ways = {(to, uid): f"ip route get {to} uid {uid}" for to in ("169.254.169.254", "192.0.2.1") for uid in (0, 33)}
    tries = "; ".join(f"{way} >/dev/null 2>&1; echo $?" for way in ways.values())
    made = "ip link set lo up && ip addr add 198.51.100.9/32 dev lo && ip route add default dev lo src 198.51.100.9"
    script = f"{made} && {line.removeprefix('ExecStart=')} && {{ {tries}; }}"
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=True)
    found = {pair: status == "0" for pair, status in zip(ways, done.stdout.split(), strict=True)}
    assert found == {pair: pair != ("169.254.169.254", 33) for pair in ways}
