"""The contract between stacks and everybody else: exactly the fields of SiteOutputs."""

from __future__ import annotations

import ast
import json
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from resilience.adapters.credentials import NEEDED
from resilience.model import CLOUDS, STACKS, SiteOutputs
from stacks.contract import SiteArgs
from stacks.program import SITES

ROOT = Path(__file__).resolve().parents[2]


def test_each_stack_a_fleet_may_name_is_there() -> None:
    """What `fleet.toml` accepts as a stack, the program can make."""
    assert set(SITES) == set(STACKS)


def test_a_stack_exports_the_fields_of_site_outputs() -> None:
    """The names in the export are those of the model, no more and no fewer."""
    tree = ast.parse((ROOT / "stacks/contract.py").read_text())
    export = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "export")
    names = [ast.literal_eval(k) for node in ast.walk(export) if isinstance(node, ast.Dict) for k in node.keys if k]
    assert names == [field.name for field in fields(SiteOutputs)]


def test_outputs_survive_json() -> None:
    """What a stack exported is read back as it was."""
    outputs = SiteOutputs("acorn", "acorn", ("198.18.1.100",), ("ssh-ed25519 AAAA",))
    assert SiteOutputs.from_json(json.loads(json.dumps(outputs.to_json()))) == outputs


def test_arguments_hold_no_credential() -> None:
    """Nothing that goes into a stack's configuration is a token, a password or a private key."""
    words = ("token", "secret", "password", "private")
    assert not [field.name for field in fields(SiteArgs) if any(word in field.name for word in words)]


def test_plain_pulumi_finds_the_program() -> None:
    """`Pulumi.yaml` in the checkout names the folder with the program and its configuration."""
    lines = dict(
        line.split(": ", 1)
        for line in (ROOT / "Pulumi.yaml").read_text().splitlines()
        if ": " in line and line[0] != " "
    )
    assert (lines["name"], lines["main"]) == ("resilience", "stacks/")
    assert (ROOT / "stacks/__main__.py").exists()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]


def test_the_docs_show_each_stacks_evidence() -> None:
    """The table in the stacks' own page says of every stack what the model says."""
    rows = [line for line in (ROOT / "stacks/README.md").read_text().splitlines() if line.startswith("| `")]
    for kind, evidence in STACKS.items():
        assert any(f"`{kind}`" in row and f"| {evidence}" in row for row in rows), kind


@pytest.mark.parametrize("kind", [kind for kind in STACKS if kind != "lab"])
def test_each_stack_has_a_page(kind: str) -> None:
    """One page a vendor: how far it was tried, what to do by hand first, each credential by its name, and what it costs."""
    page = (ROOT / f"docs/vendors/{kind}.md").read_text()
    assert f"Tried: {STACKS[kind]}" in page
    assert "cost" in page
    assert all(name in page for name in NEEDED.get(kind, ()))
    assert kind not in CLOUDS or "## By hand first" in page
    row = next(line for line in (ROOT / "docs/vendors/README.md").read_text().splitlines() if f"[{kind}]" in line)
    assert str(STACKS[kind]) in row
