"""SSH host keys: made by us before the host is, so that the first connection is pinned already."""

from __future__ import annotations

import pulumi
from pulumi.dynamic import Resource

from stacks.account_api import HostKeyProvider


class HostKey(Resource, name="HostKey"):
    """The SSH key a host identifies itself with; in the state its private half is encrypted."""

    private: pulumi.Output[str]
    public: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["private"])
        super().__init__(
            HostKeyProvider(),
            name,
            {"private": None, "public": None},
            pulumi.ResourceOptions.merge(opts, secret),
        )
