"""A vault at any vendor that speaks S3: a bucket that keeps every version. Its principals are made by hand.

Vendors agree on S3's buckets and not on who may do what in them; docs/vendors/s3.md says which rights to give.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from stacks.contract import Unfit
from stacks.vault_contract import Credentials, VaultArgs


class S3Vault(pulumi.ComponentResource):
    """Bucket, versions, and a lock where the vendor has one."""

    def __init__(self, args: VaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if not args.endpoint:
            message = f"{args.vault}: give the store's URL (resilience:endpoint)."
            raise Unfit(message)
        super().__init__("resilience:vault:S3", args.vault, None, opts)
        ours = pulumi.ResourceOptions(parent=self, provider=_provider(args, self))
        bucket = aws.s3.Bucket(
            args.bucket,
            bucket=args.bucket,
            object_lock_enabled=args.lock_days > 0,
            opts=pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(retain_on_delete=True)),
        )
        versions = aws.s3.BucketVersioning(
            args.bucket,
            bucket=bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=ours,
        )
        if args.lock_days:
            default = aws.s3.BucketObjectLockConfigurationRuleDefaultRetentionArgs(
                mode="COMPLIANCE", days=args.lock_days
            )
            aws.s3.BucketObjectLockConfiguration(
                args.bucket,
                bucket=bucket.id,
                rule=aws.s3.BucketObjectLockConfigurationRuleArgs(default_retention=default),
                opts=pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(depends_on=[versions])),
            )
        self.bucket_name: pulumi.Input[str] = bucket.bucket
        self.credentials: pulumi.Output[Credentials] = pulumi.Output.from_input({})
        self.register_outputs({"bucket": bucket.bucket})


def _provider(args: VaultArgs, parent: pulumi.Resource) -> aws.Provider:
    """AWS's provider at another vendor's door; its credentials come from the environment like everybody's."""
    return aws.Provider(
        args.vault,
        region=args.region,
        endpoints=[aws.ProviderEndpointArgs(s3=args.endpoint)],
        s3_use_path_style=True,
        skip_credentials_validation=True,
        skip_metadata_api_check=True,
        skip_region_validation=True,
        skip_requesting_account_id=True,
        opts=pulumi.ResourceOptions(parent=parent),
    )
