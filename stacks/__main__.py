"""Where plain `pulumi up` begins; `resilience up` runs the same `program.run`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stacks.program import run

run()
