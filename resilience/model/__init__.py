"""The nouns: frozen, typed values without I/O. See the design's list of words."""

from resilience.model.fleet import (
    Fleet,
    Names,
    Promise,
    Replication,
    Site,
    VaultSpec,
    Vendor,
    ZoneSpec,
)
from resilience.model.journal import Event
from resilience.model.plan import Hazard, Phase, Plan, Step
from resilience.model.site import SiteOutputs
from resilience.model.survey import (
    EpochRecord,
    Reading,
    SiteReading,
    Survey,
    Unknown,
    VaultReading,
    ZoneReading,
    known,
)
from resilience.model.verdict import Verdict

__all__ = [
    "EpochRecord",
    "Event",
    "Fleet",
    "Hazard",
    "Names",
    "Phase",
    "Plan",
    "Promise",
    "Reading",
    "Replication",
    "Site",
    "SiteOutputs",
    "SiteReading",
    "Step",
    "Survey",
    "Unknown",
    "VaultReading",
    "VaultSpec",
    "Vendor",
    "Verdict",
    "ZoneReading",
    "ZoneSpec",
    "known",
]
