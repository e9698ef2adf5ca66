"""Decide: Fleet + Survey -> Plan, and its hazards. Pure: no clock, no I/O."""

from resilience.decide.failover import leads_on, plan_failover
from resilience.decide.opening import plan_open
from resilience.decide.quorum import lost_vendors, next_set, with_companions
from resilience.decide.rehearsal import plan_rehearsal, rehearsal_fleet, rehearsal_site
from resilience.decide.restore import plan_restore
from resilience.decide.snapshot import plan_snapshot
from resilience.decide.stay import plan_protect
from resilience.decide.switchover import plan_switchover
from resilience.decide.up import may_be_primary, plan_up
from resilience.decide.vaults import plan_vaults

__all__ = [
    "leads_on",
    "lost_vendors",
    "may_be_primary",
    "next_set",
    "plan_failover",
    "plan_open",
    "plan_protect",
    "plan_rehearsal",
    "plan_restore",
    "plan_snapshot",
    "plan_switchover",
    "plan_up",
    "plan_vaults",
    "rehearsal_fleet",
    "rehearsal_site",
    "with_companions",
]
