"""Whether credentials at AWS may more than they need: what must be refused to them, asked of IAM's own simulator."""

from __future__ import annotations

from typing import Any

from resilience.adapters.asking import no

ADVICE = (
    "Make a user with the policy in docs/vendors/aws.md, which lets it ask about itself, and take its key instead. "
    "Until then: IAM, Users, Access Advisor, in the vendor's console."
)
MIGHTY = (
    "iam:CreateUser",
    "iam:PutUserPolicy",
    "iam:AttachUserPolicy",
    "iam:DeleteUserPermissionsBoundary",
    "iam:CreateRole",
    "iam:PassRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:CreatePolicyVersion",
    "account:CloseAccount",
)
"""Each of these, allowed on anything, makes an administrator or ends the account."""
OF_USERS = MIGHTY[:4]
"""Those that make an administrator of a user below our own path, unless a boundary is asked for."""


def least(iam: Any, arn: str) -> str:
    """That nothing too mighty is allowed; else what is, or why nobody can tell."""
    partition, account, name = arn.split(":")[1], arn.split(":")[4], arn.split(":", 5)[5]
    if name == "root":
        no("these are the account's own (root): they may do everything, and no policy can limit them")
    if not name.startswith("user/"):
        no(f"{name.partition('/')[0]} credentials are not asked about: only a user may ask about itself", "unknown")
    ours = f"arn:{partition}:iam::{account}:user/resilience/anybody"
    may = {*_allowed(iam, arn, MIGHTY, "*"), *_allowed(iam, arn, OF_USERS, ours)}
    if may:
        no(f"they may {', '.join(sorted(may))}: enough to make an administrator, or to end the account")
    return f"none of {len(MIGHTY)} rights that are too mighty, neither on everything nor on users below /resilience/"


def _allowed(iam: Any, arn: str, actions: tuple[str, ...], on: str) -> list[str]:
    """What the simulator allows, with no boundary in the request."""
    told = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=list(actions), ResourceArns=[on])
    return [each["EvalActionName"] for each in told["EvaluationResults"] if each["EvalDecision"] == "allowed"]
