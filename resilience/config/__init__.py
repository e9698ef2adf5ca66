"""`fleet.toml` -> Fleet. Every error names the file, the line, the key, why, and what to write.

`schema` is the shape (types, unknown and missing keys), `meaning` what the keys mean together,
`sites` what sites need, `names` what the public name needs, `lines` finds where a key stands, `explain` makes errors, `loading` does all of it in order.
"""

from resilience.config.loading import load, parse
from resilience.config.meaning import APPS

__all__ = ["APPS", "load", "parse"]
