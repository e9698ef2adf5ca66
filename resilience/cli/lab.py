"""`resilience lab up|down`: five vendors on this machine, to look at and to practise on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resilience.cli.context import say_json
from resilience.errors import ResilienceError
from resilience.lab import Lab
from resilience.lab.material import prepare_material
from resilience.render import Progress

app = typer.Typer(help="Vendors made on this machine.", no_args_is_help=True, rich_markup_mode=None)
Directory = Annotated[Path, typer.Option("--dir", help="Where the lab keeps its files.")]
DEFAULT = Path(".resilience/lab")


@app.command()
def up(
    directory: Directory = DEFAULT,
    port: Annotated[int, typer.Option(help="Loopback port for a browser.")] = 8080,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Make the vendors and a fleet file; then `resilience --fleet FILE up acorn`.

    Exit status: 0 done, 1 error.
    """
    lab = Lab(directory.absolute())
    with Progress.for_people(silent=as_json) as progress, progress.stage("lab", 10):
        lab.up(progress.say, keep=True)
        prepare_material(lab.directory / "material", "small")
        lab.forward(port)
    fleet = directory / "fleet.toml"
    if as_json:
        say_json({"fleet": str(fleet), "browser": f"http://127.0.0.1:{port}"})
        return
    typer.echo(f"The lab is up. Next: resilience --fleet {fleet} up acorn")
    typer.echo(f"Then look at plaza: http://127.0.0.1:{port}")


@app.command()
def terminate(
    vendor: Annotated[str, typer.Argument(help="A vendor of the lab.")],
    directory: Directory = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Let VENDOR close the account: hosts off, API and bucket refuse, its DNS is gone.

    Exit status: 0 done, 1 error, 2 usage.
    """
    Lab(directory.absolute()).inject("terminate", [vendor])
    say_json({"terminated": vendor}) if as_json else typer.echo(f"{vendor} has closed the account.")


@app.command()
def relent(
    vendor: Annotated[str, typer.Argument(help="A vendor that has closed the account.")],
    directory: Directory = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Let VENDOR open the account again: hosts, buckets and zone as they were left.

    Exit status: 0 done, 1 error, 2 usage.
    """
    Lab(directory.absolute()).relent(vendor)
    say_json({"relented": vendor}) if as_json else typer.echo(f"{vendor} has opened the account again.")


@app.command()
def down(
    directory: Directory = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Remove the lab, also what a kill -9 left behind.

    Exit status: 0 nothing is left, 1 something could not be removed.
    """
    left = Lab(directory.absolute()).down()
    if left:
        raise ResilienceError(
            f"Left behind: {', '.join(left)}.", "They could not be removed.", "Run this again as root."
        )
    say_json({"left": left}) if as_json else typer.echo("The lab is gone.")
