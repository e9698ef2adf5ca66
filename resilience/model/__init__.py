"""The nouns: frozen, typed values without I/O. See the design's list of words."""

from resilience.model.certificate import Certificate
from resilience.model.fleet import (
    AuthoritySpec,
    Fleet,
    Names,
    Promise,
    RecordSpec,
    Replication,
    Site,
    VaultSpec,
    Vendor,
    ZoneSpec,
    payload_only,
)
from resilience.model.journal import Event
from resilience.model.notice import Notice
from resilience.model.past import LegalOrder, Past, PastRun, SignOff, Withdrawal
from resilience.model.plan import HAZARDS, Hazard, Phase, Plan, Step, lane
from resilience.model.point import Point
from resilience.model.registration import Registration
from resilience.model.site import SiteOutputs
from resilience.model.stack import CLOUDS, ENCRYPTED, SIZES, STACKS, Evidence, Machine
from resilience.model.stage import Stage
from resilience.model.survey import (
    EpochRecord,
    MirrorReading,
    Reading,
    SiteReading,
    Survey,
    Unknown,
    VaultReading,
    ZoneReading,
    known,
    newest_first,
)
from resilience.model.verdict import (
    Blackhole,
    DataSizes,
    Fence,
    Media,
    Newcomers,
    Protection,
    Rpo,
    Rto,
    Takedowns,
    Verdict,
)

__all__ = [
    "CLOUDS",
    "ENCRYPTED",
    "HAZARDS",
    "SIZES",
    "STACKS",
    "AuthoritySpec",
    "Blackhole",
    "Certificate",
    "DataSizes",
    "EpochRecord",
    "Event",
    "Evidence",
    "Fence",
    "Fleet",
    "Hazard",
    "LegalOrder",
    "Machine",
    "Media",
    "MirrorReading",
    "Names",
    "Newcomers",
    "Notice",
    "Past",
    "PastRun",
    "Phase",
    "Plan",
    "Point",
    "Promise",
    "Protection",
    "Reading",
    "RecordSpec",
    "Registration",
    "Replication",
    "Rpo",
    "Rto",
    "SignOff",
    "Site",
    "SiteOutputs",
    "SiteReading",
    "Stage",
    "Step",
    "Survey",
    "Takedowns",
    "Unknown",
    "VaultReading",
    "VaultSpec",
    "Vendor",
    "Verdict",
    "Withdrawal",
    "ZoneReading",
    "ZoneSpec",
    "known",
    "lane",
    "newest_first",
    "payload_only",
]
