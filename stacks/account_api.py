"""Dynamic providers: hosts, host keys and buckets through a lab vendor's account API.

The token is read from the environment when a call is made. It is never an input, so neither
the state nor the serialized provider (a reference to a class here) can hold it.
"""

from __future__ import annotations

import os
import re
from typing import Any

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider

TOKEN = "RESILIENCE_ACCOUNT_TOKEN"  # noqa: S105 - the variable's name
TIMEOUT_S = 120.0
GONE = 404
TAKEN = 409


class ApiRefused(Exception):
    """The account API said no; the text carries vendor URL, status and its own code."""


def call(account: str, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """One call to the account API; ApiRefused for anything but success."""
    import httpx

    token = os.environ.get(TOKEN)
    if not token:
        message = f"account-api {account} status=0 code=NoToken: set {TOKEN} in the environment"
        raise ApiRefused(message)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = httpx.request(method, account + path, json=body, headers=headers, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        message = f"account-api {account} status=0 code=NoAnswer: {type(error).__name__}: {error}"
        raise ApiRefused(message) from error
    if answer.is_success:
        return dict(answer.json()) if answer.content else {}
    raise refusal(account, answer.status_code, answer.text)


def refusal(account: str, status: int, text: str) -> ApiRefused:
    """The error for an answer that is not a success, with every code of the vendor's in it."""
    codes = re.findall(r'"(?:code|reason|status)"\s*:\s*"([\w.-]+)"|<Code>([\w.-]+)</Code>', text)
    said = ",".join(dict.fromkeys(json_code or xml_code for json_code, xml_code in codes))
    return ApiRefused(f"account-api {account} status={status} code={said or 'none'}: {' '.join(text.split())[:300]}")


class HostKeyProvider(ResourceProvider):
    """Makes an Ed25519 key pair, kept for the stack's life; calls nobody."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """A fresh key pair, in OpenSSH's forms."""
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        del props
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
        public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
        return CreateResult(public.decode().split()[1][-12:], {"private": private.decode(), "public": public.decode()})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """A key never changes while its host lives."""
        return DiffResult(changes=False)


class HostProvider(ResourceProvider):
    """Hosts of one account."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Ask for a host; one of the same name that a half-finished run left is taken over."""
        wanted = {name: props[name] for name in ("name", "authorized_key", "host_key_private", "size")}
        made = call(props["account"], "POST", "/v1/hosts", wanted)
        return CreateResult(str(made["id"]), _without_secret(props) | {"address": str(made["address"])})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Only another identity replaces a host: nothing else may ever destroy a live one."""
        replaces = [name for name in ("account", "name", "host_key") if olds.get(name) != news.get(name)]
        return DiffResult(changes=bool(replaces), replaces=replaces, delete_before_replace=True)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """The host as the account lists it."""
        made = call(props["account"], "GET", f"/v1/hosts/{id_}")
        return ReadResult(id_, props | {"address": str(made["address"])})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Give the host back; one that is gone already is no error."""
        try:
            call(_props["account"], "DELETE", f"/v1/hosts/{_id}")
        except ApiRefused as error:
            if f"status={GONE} " not in str(error):
                raise


class BucketProvider(ResourceProvider):
    """Buckets of one account."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Ask for a bucket; asking again is no error."""
        call(props["account"], "POST", "/v1/buckets", {"name": props["name"]})
        return CreateResult(props["name"], dict(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A bucket is its name at an account."""
        replaces = [name for name in ("account", "name") if olds.get(name) != news.get(name)]
        return DiffResult(changes=bool(replaces), replaces=replaces)


def _without_secret(props: dict[str, Any]) -> dict[str, Any]:
    """What of a host's inputs may be read back."""
    return {name: value for name, value in props.items() if name not in {"host_key_private", "__provider"}}
