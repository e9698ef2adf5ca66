"""Render: what people and machines read. No decision is made here.

Nothing here prints by itself: `…_text` gives what a terminal shows, `to_json` and `…_json` give plain JSON
values, `report_html` gives the page; `Progress` is the one part that talks, while work goes on.
"""

from resilience.render.machine import json_text, survey_json, to_json
from resilience.render.progress import Progress
from resilience.render.report import report_html
from resilience.render.text import error_text, plan_text, survey_text, verdict_text

__all__ = [
    "Progress",
    "error_text",
    "json_text",
    "plan_text",
    "report_html",
    "survey_json",
    "survey_text",
    "to_json",
    "verdict_text",
]
