"""Render: what people and machines read. No decision is made here.

Nothing here prints by itself: `text` gives what a `rich` console prints, `machine` gives JSON,
`report` gives the page; `Progress` is the one part that talks while work goes on.
"""

from resilience.render.machine import json_text, to_json
from resilience.render.progress import Progress
from resilience.render.report import report, save_report
from resilience.render.text import console, error_text, plan_text, survey_text, verdict_text

__all__ = [
    "Progress",
    "console",
    "error_text",
    "json_text",
    "plan_text",
    "report",
    "save_report",
    "survey_text",
    "to_json",
    "verdict_text",
]
