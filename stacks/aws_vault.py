"""A vault at Amazon S3: a bucket that keeps every version, and its principals."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from resilience.model.rights import PRINCIPALS
from stacks import vault_policies
from stacks.vault_contract import Credentials, VaultArgs


class AwsVault(pulumi.ComponentResource):
    """Bucket, versions, lock, encryption, no public way in; `ship`, `standby`, `reader` and `operator`."""

    def __init__(self, args: VaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("resilience:vault:Aws", args.vault, None, opts)
        ours = pulumi.ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(
            args.bucket,
            bucket=args.bucket,
            region=args.region,
            object_lock_enabled=args.lock_days > 0,
            tags=args.tags,
            opts=pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(retain_on_delete=True)),
        )
        _keep(args, bucket, ours)
        _close(args, bucket, ours)
        once_ours = pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(depends_on=[bucket]))
        keys = {who: _principal(args, who, once_ours) for who in PRINCIPALS}
        self.bucket_name: pulumi.Input[str] = bucket.bucket
        self.credentials: pulumi.Output[Credentials] = pulumi.Output.secret(
            pulumi.Output.all(
                **{
                    who: pulumi.Output.all(access_key_id=key.id, secret_access_key=key.secret)
                    for who, key in keys.items()
                }
            )
        )
        self.register_outputs({"bucket": bucket.bucket})


def _keep(args: VaultArgs, bucket: aws.s3.Bucket, ours: pulumi.ResourceOptions) -> None:
    """Every version stays; with a lock, even against us."""
    name, region = args.bucket, args.region
    versions = aws.s3.BucketVersioning(
        name,
        bucket=bucket.id,
        region=region,
        versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
        opts=ours,
    )
    if args.lock_days:
        default = aws.s3.BucketObjectLockConfigurationRuleDefaultRetentionArgs(mode="COMPLIANCE", days=args.lock_days)
        aws.s3.BucketObjectLockConfiguration(
            name,
            bucket=bucket.id,
            region=region,
            rule=aws.s3.BucketObjectLockConfigurationRuleArgs(default_retention=default),
            opts=pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(depends_on=[versions])),
        )


def _close(args: VaultArgs, bucket: aws.s3.Bucket, ours: pulumi.ResourceOptions) -> None:
    """Encrypted at rest and on the wire, owned by the account alone, public to nobody."""
    name, region = args.bucket, args.region
    sealed = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
        sse_algorithm="AES256"
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        name,
        bucket=bucket.id,
        region=region,
        rules=[aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(apply_server_side_encryption_by_default=sealed)],
        opts=ours,
    )
    aws.s3.BucketOwnershipControls(
        name,
        bucket=bucket.id,
        region=region,
        rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
        opts=ours,
    )
    closed = aws.s3.BucketPublicAccessBlock(
        name,
        bucket=bucket.id,
        region=region,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=ours,
    )
    aws.s3.BucketPolicy(
        name,
        bucket=bucket.id,
        region=region,
        policy=vault_policies.aws_bucket_policy(args.bucket),
        opts=pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(depends_on=[closed])),
    )


def _principal(args: VaultArgs, who: str, ours: pulumi.ResourceOptions) -> aws.iam.AccessKey:
    name = args.name(who)
    user = aws.iam.User(
        name,
        name=f"{args.fleet[:20]}-{name}",
        path="/resilience/",
        permissions_boundary=args.boundary or None,
        tags=args.tags,
        opts=ours,
    )
    aws.iam.UserPolicy(name, user=user.name, policy=vault_policies.aws_policy(who, args.bucket), opts=ours)
    secret = pulumi.ResourceOptions(additional_secret_outputs=["secret", "ses_smtp_password_v4"])
    return aws.iam.AccessKey(name, user=user.name, opts=pulumi.ResourceOptions.merge(ours, secret))
