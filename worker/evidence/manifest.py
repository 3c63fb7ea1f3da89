"""The manifest: the stored files of a verification, and the hashes that prove them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load
from marshmallow.validate import Equal, OneOf, Regexp

from schemas.errors import SchemaError
from schemas.fields import SignatureId
from worker.enqueue_request import REGIONS
from worker.evidence import paths

VERSION = 1

#: The largest manifest that is parsed, in bytes; one of ours, with an object of each role, has less than 10 kB.
MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One stored file. `role` is `answer` or one of ``paths.ROLES``; `kept_at` is RFC 3339 UTC."""

    name: str
    role: str
    size_bytes: int
    sha256: str
    media_type: str
    kept_at: str


@dataclass(frozen=True, slots=True)
class Missing:
    """An object that the answer links to but that is not stored, and why: `NOT_AN_IMAGE`, `TOO_LARGE`, …"""

    role: str
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The stored evidence of one verification. `complete`: `files` has every object that the answer links to."""

    signature_id: str
    region: str
    overall_result: str | None
    error_code: str | None
    #: Of the stored answer: the only id that the vendor's support accepts.
    transaction_id: str | None
    #: RFC 3339 UTC.
    archived_at: str
    complete: bool
    files: tuple[FileEntry, ...]
    missing: tuple[Missing, ...] = ()
    version: int = VERSION
    #: Random, so that the hash of the manifest tells nothing. None: it was written by an older release.
    salt: str | None = None


class _FileSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    name = fields.String(required=True, validate=Regexp(rf"(?:{paths.FILE_NAME.pattern})\Z"))
    role = fields.String(required=True, validate=OneOf(("answer", *paths.ROLES)))
    size_bytes = fields.Integer(required=True, strict=True)
    sha256 = fields.String(required=True, validate=Regexp(r"[0-9a-f]{64}\Z"))
    media_type = fields.String(required=True)
    kept_at = fields.String(required=True)

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> FileEntry:
        return FileEntry(**data)


class _MissingSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    role = fields.String(required=True, validate=OneOf(tuple(paths.ROLES)))
    reason = fields.String(required=True)

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> Missing:
        return Missing(**data)


def _named_once(files: list[FileEntry]) -> None:
    # Each entry is read: one large object that is named a thousand times would occupy a process for long.
    if len({entry.name for entry in files}) < len(files):
        raise ValidationError("must name each file once")


class _ManifestSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    version = fields.Integer(required=True, strict=True, validate=Equal(VERSION))
    signature_id = SignatureId(required=True)
    region = fields.String(required=True, validate=OneOf(REGIONS))
    overall_result = fields.String(required=True, allow_none=True)
    error_code = fields.String(required=True, allow_none=True)
    transaction_id = fields.String(required=True, allow_none=True)
    archived_at = fields.String(required=True)
    complete = fields.Boolean(required=True)
    files = fields.List(fields.Nested(_FileSchema), required=True, validate=_named_once)
    missing = fields.List(fields.Nested(_MissingSchema), required=True)
    salt = fields.String(load_default=None, validate=Regexp(r"[0-9a-f]{32}\Z"))

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> Manifest:
        return Manifest(**{**data, "files": tuple(data["files"]), "missing": tuple(data["missing"])})


_SCHEMA = _ManifestSchema()


def _members(value: Manifest | FileEntry | Missing) -> dict[str, Any]:
    # Takes a third of the time of `asdict`, which copies every value.
    members = {name: getattr(value, name) for name in value.__slots__}
    if members.get("salt", "") is None:
        del members["salt"]  # the manifest of an older release keeps its bytes
    return members


_JSON = json.JSONEncoder(default=_members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def dump_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as JSON with sorted keys and no spaces: equal manifests give equal bytes."""
    return f"{_JSON.encode(manifest)}\n".encode()


def load_manifest(raw: bytes) -> Manifest:
    """Parse a manifest. Raises ``SchemaError`` with the first invalid field."""
    if len(raw) > MAX_BYTES:
        raise SchemaError("manifest", "is too long")
    try:
        manifest: Manifest = _SCHEMA.load(json.loads(raw))
    except ValidationError as error:
        raise SchemaError.from_validation(error, prefix="manifest") from None
    except (ValueError, RecursionError):
        raise SchemaError("manifest", "is not JSON") from None
    return manifest
