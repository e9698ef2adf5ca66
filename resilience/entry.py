"""Where the program begins: an interrupt while it still loads is an interrupt, too."""

from __future__ import annotations

import sys


def main() -> None:
    """Load the command line and run it; Ctrl-C before it can catch one ends it in the same way."""
    try:
        from resilience.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
