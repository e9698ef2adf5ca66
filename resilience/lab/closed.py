"""What a vendor answers once it has closed an account: bodies as real vendors were seen to send them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from resilience.lab import places

FORBIDDEN = 403
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
_S3 = {
    "acorn": ("AllAccessDisabled", "All access to this Amazon S3 resource has been disabled"),
    "cedar": ("UserSuspended", "This user has been suspended"),
    "elm": (
        "AccountProblem",
        "There is a problem with your AWS account that prevents the operation from completing successfully.",
    ),
}
_BLOCKED = (
    "This account is currently blocked and not recognized as a valid account. Contact Support if you have questions."
)
_SUSPENDED = "Permission denied: Consumer 'projects/plaza' has been suspended."
_BILLING = "The billing account for the owning project is disabled in state closed"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    content_type: str
    body: bytes


def marker(directory: Path, vendor: str) -> Path:
    """The file whose presence means that this vendor has closed the account."""
    return directory / "vendors" / vendor / "closed"


def is_closed(directory: Path, vendor: str) -> bool:
    """Whether this vendor has closed the account."""
    return marker(directory, vendor).exists()


def account_answer(vendor: str) -> Answer:
    """What the account API says to everybody: as AWS at acorn, as Google at birch."""
    if places.place(vendor).bucket == "gcs":
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "CONSUMER_SUSPENDED",
            "domain": "googleapis.com",
            "metadata": {"consumer": "projects/plaza", "service": "compute.googleapis.com"},
        }
        error = {"code": FORBIDDEN, "message": _SUSPENDED, "status": "PERMISSION_DENIED", "details": [info]}
        return _json({"error": error})
    return _json({"error": {"code": "Blocked", "message": _BLOCKED}})


def bucket_answer(vendor: str) -> Answer:
    """What the bucket says to everybody."""
    if places.place(vendor).bucket == "gcs":
        detail = {"message": _BILLING, "domain": "global", "reason": "accountDisabled"}
        return _json({"error": {"code": FORBIDDEN, "message": _BILLING, "errors": [detail]}})
    code, message = _S3[vendor]
    return Answer(FORBIDDEN, "application/xml", _XML.format(code=code, message=message).encode())


def _json(body: dict[str, object]) -> Answer:
    return Answer(FORBIDDEN, "application/json; charset=UTF-8", json.dumps(body).encode())
