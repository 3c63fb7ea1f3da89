"""The options of a bucket of S3: encryption by KMS, Object Lock, and credentials from a shared file."""

from __future__ import annotations

import configparser
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError

if TYPE_CHECKING:
    from obstore.store import S3Credential

#: Sent with every object: a bucket with Object Lock requires a checksum, and other buckets check it.
CHECKSUM: Final = "SHA256"

#: Never locked: the objects of a verification that are replaced or removed later.
_UNLOCKED: Final = re.compile(r"(?:.+/)?(?:key|closed|hold)\.json")

#: Locked for a moment only, which proves that the bucket can lock. Longer than clocks may differ for S3.
_PROBE: Final = re.compile(r"probe-[0-9a-f]+")
_PROBE_LOCK: Final = timedelta(minutes=20)

#: Variables of credentials that take precedence over the shared file, as in AWS's own tools.
_BEFORE_THE_FILE: Final = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE")

#: How long credentials of the shared file are used before the file is read again.
_READ_AGAIN_AFTER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """S3 refuses to change or delete an object for `days` days after it was written.

    Parameters:
        mode: `GOVERNANCE` (a right of its own lifts the lock) or `COMPLIANCE` (nothing does).
    """

    mode: str
    days: int

    def until(self, path: str, now: datetime) -> datetime | None:
        """When the lock of an object that is written now ends: the midnight after its days, in UTC. None: no lock.

        `path` is relative to the evidence URL.
        """
        if _UNLOCKED.fullmatch(path):
            return None
        if _PROBE.fullmatch(path):
            return (now.astimezone(UTC) + _PROBE_LOCK).replace(second=0, microsecond=0)
        end = now.astimezone(UTC) + timedelta(days=self.days + 1)
        return end.replace(hour=0, minute=0, second=0, microsecond=0)

    def headers(self, until: datetime) -> dict[str, str]:
        """The headers of a write of an object that is locked until then."""
        return {
            "x-amz-object-lock-mode": self.mode,
            "x-amz-object-lock-retain-until-date": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            # S3 accepts the checksum alone; other servers also want its name.
            "x-amz-sdk-checksum-algorithm": CHECKSUM,
        }


@dataclass(frozen=True, slots=True)
class S3Options:
    """What S3 does with each object. The default leaves encryption and locks to the bucket.

    Parameters:
        encryption: `aws:kms`, `aws:kms:dsse`, `AES256` or "".
        kms_key: the id or ARN of the KMS key; "": the account's default key.
    """

    encryption: str = ""
    kms_key: str = ""
    lock: ObjectLock | None = None

    def __bool__(self) -> bool:
        return bool(self.encryption or self.lock)


class SharedCredentials:
    """Provides the credentials of a profile in AWS's shared credentials file, and reads it again every few minutes.

    obstore finds credentials in the environment and at the metadata services of EC2, ECS and EKS, but not in this file.
    """

    def __init__(self, path: Path, profile: str) -> None:
        self._path = path
        self._profile = profile

    def __call__(self) -> S3Credential:
        """Return the credentials. Raises ``ConfigError`` if the file has none for the profile."""
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(self._path.read_text())
            section = parser[self._profile]
            return {
                "access_key_id": section["aws_access_key_id"].strip(),
                "secret_access_key": section["aws_secret_access_key"].strip(),
                "token": section.get("aws_session_token", "").strip() or None,
                "expires_at": datetime.now(UTC) + _READ_AGAIN_AFTER,
            }
        except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
            raise ConfigError(
                f"{self._path}: no access key can be read for the profile {self._profile}: add aws_access_key_id and "
                "aws_secret_access_key there, or unset AWS_PROFILE"
            ) from None


def shared_credentials() -> SharedCredentials | None:
    """The provider of credentials from the shared file; None: they come from elsewhere.

    Raises ``ConfigError`` if AWS_PROFILE is set, and the file has no keys for it.
    """
    if any(os.environ.get(name) for name in _BEFORE_THE_FILE):
        return None
    profile = os.environ.get("AWS_PROFILE", "")
    given = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "")
    try:
        path = Path(given).expanduser() if given else Path.home() / ".aws" / "credentials"
    except RuntimeError:  # an account without a home
        return None
    provider = SharedCredentials(path, profile or "default")
    try:
        provider()
    except ConfigError:
        if profile:
            raise
        return None
    return provider
