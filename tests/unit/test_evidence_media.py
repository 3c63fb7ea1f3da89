"""What the first bytes of an object say, and which files a role may have."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from schemas.address import ADDRESS_ROLES
from schemas.errors import SchemaError
from schemas.face import FACE_LINKS
from tests.support.image_host import HEIC, HEIF, JPEG, PNG, WEBP
from tests.support.media import MP4, PDF, QUICKTIME, WEBM, ZIP
from worker.evidence import paths
from worker.evidence.manifest import load_manifest
from worker.evidence.media import EXTENSIONS, Kind, sniff

IMAGES = {JPEG: "image/jpeg", PNG: "image/png", WEBP: "image/webp", HEIC: "image/heic", HEIF: "image/heif"}
KNOWN: dict[Kind, dict[bytes, str]] = {
    Kind.IMAGE: IMAGES,
    Kind.ARCHIVE: {ZIP: "application/zip", b"PK\x05\x06" + bytes(18): "application/zip"},
    Kind.VIDEO: {MP4: "video/mp4", QUICKTIME: "video/quicktime", WEBM: "video/webm"},
    Kind.DOCUMENT: IMAGES | {PDF: "application/pdf"},
}
OTHER = [
    b"",
    b"PK",
    b"PK\x07\x08",
    b"<html>",
    b" " + ZIP,
    b"\x7fELF",
    b"Rar!\x1a\x07",
    b"\x1f\x8b\x08",
    b"MZ",
]


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_knows_its_media_types_and_no_other(kind: Kind) -> None:
    bodies = {*itertools.chain.from_iterable(KNOWN.values()), *OTHER}

    assert {body: sniff(body, kind) for body in bodies} == {body: KNOWN[kind].get(body) for body in bodies}
    assert set(KNOWN[kind].values()) == set(EXTENSIONS[kind])


def test_every_link_that_is_read_has_a_role() -> None:
    assert list(paths.ROLES) == ["front", "back", *FACE_LINKS, *ADDRESS_ROLES]


@pytest.mark.parametrize("role", paths.ROLES)
def test_a_role_has_the_files_of_its_kind_alone(role: str) -> None:
    every = {extension for known in EXTENSIONS.values() for extension in known.values()}
    names = {extension for extension in every if paths.FILE_NAME.fullmatch(f"{role}.{extension}")}

    assert names == set(EXTENSIONS[paths.ROLES[role]].values())
    assert not paths.FILE_NAME.fullmatch(f"{role}.exe")


#: As earlier versions wrote it.
EARLIER: dict[str, Any] = {
    "archived_at": "2026-01-02T03:04:06.007Z",
    "complete": False,
    "error_code": "SUCCESS",
    "files": [
        {
            "kept_at": "2026-01-02T03:04:05.006Z",
            "media_type": "image/jpeg",
            "name": "front.jpg",
            "role": "front",
            "sha256": "0" * 64,
            "size_bytes": 17,
        }
    ],
    "missing": [{"reason": "TOO_LARGE", "role": "back"}],
    "overall_result": "PASS",
    "region": "ph",
    "signature_id": "f302f5d2454a85c2",
    "transaction_id": None,
    "version": 1,
}


def test_a_manifest_of_an_earlier_version_is_read() -> None:
    manifest = load_manifest(json.dumps(EARLIER).encode())

    assert [file.role for file in manifest.files] == ["front"]
    assert [(missing.role, missing.reason) for missing in manifest.missing] == [("back", "TOO_LARGE")]


def test_a_manifest_with_a_role_that_is_none_is_refused() -> None:
    with pytest.raises(SchemaError, match="role"):
        load_manifest(json.dumps(EARLIER | {"missing": [{"reason": "X", "role": "sides"}]}).encode())
