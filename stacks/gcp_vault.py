"""A vault at Google Cloud Storage: a bucket that keeps what was deleted, and its principals."""

from __future__ import annotations

import base64

import pulumi
import pulumi_gcp as gcp

from resilience.model.rights import PRINCIPALS
from stacks import vault_policies
from stacks.contract import Unfit
from stacks.vault_contract import Credentials, VaultArgs

DAY_S = 86400
SHORTEST, LONGEST = 7, 90
"""Days for which Google keeps what was deleted: soft deletion, which whoever may change the bucket ends. It is no lock."""


class GcpVault(pulumi.ComponentResource):
    """Bucket, versions, soft deletion, no public way in; `ship`, `standby`, `reader` and `operator`."""

    def __init__(self, args: VaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.lock_days and not SHORTEST <= args.lock_days <= LONGEST:
            message = (
                f"{args.vault}: Google keeps what was deleted for {SHORTEST} to {LONGEST} days, or not at all (0)."
            )
            raise Unfit(message)
        super().__init__("resilience:vault:Gcp", args.vault, None, opts)
        ours = pulumi.ResourceOptions(parent=self)
        bucket = gcp.storage.Bucket(
            args.bucket,
            name=args.bucket,
            location=args.region.upper(),
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning=gcp.storage.BucketVersioningArgs(enabled=True),
            soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(
                retention_duration_seconds=args.lock_days * DAY_S
            ),
            labels=args.tags,
            opts=pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(retain_on_delete=True)),
        )
        once_ours = pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(depends_on=[bucket]))
        keys = {who: _principal(args, who, bucket, once_ours) for who in PRINCIPALS}
        self.bucket_name: pulumi.Input[str] = bucket.name
        self.credentials: pulumi.Output[Credentials] = pulumi.Output.secret(
            pulumi.Output.all(
                **{who: pulumi.Output.all(service_account=key.private_key.apply(_text)) for who, key in keys.items()}
            )
        )
        self.register_outputs({"bucket": bucket.name})


def _text(key: str) -> str:
    return base64.b64decode(key).decode()


def _principal(
    args: VaultArgs, who: str, bucket: gcp.storage.Bucket, ours: pulumi.ResourceOptions
) -> gcp.serviceaccount.Key:
    name = args.name(who)
    account = gcp.serviceaccount.Account(
        name, account_id=name, display_name=f"{who} at vault {args.vault} of {args.fleet}", opts=ours
    )
    for purpose, (role, condition) in vault_policies.gcp_bindings(who, args.bucket).items():
        gcp.storage.BucketIAMMember(
            f"{name}-{purpose}",
            bucket=bucket.name,
            role=role,
            member=account.email.apply(lambda email: f"serviceAccount:{email}"),
            condition=gcp.storage.BucketIAMMemberConditionArgs(title=f"{who}-{purpose}", expression=condition)
            if condition
            else None,
            opts=ours,
        )
    secret = pulumi.ResourceOptions(additional_secret_outputs=["private_key"])
    return gcp.serviceaccount.Key(
        name, service_account_id=account.name, opts=pulumi.ResourceOptions.merge(ours, secret)
    )
