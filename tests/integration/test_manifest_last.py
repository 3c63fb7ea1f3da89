"""The manifest that is stored in one block with the images: it is there once they are, and replaces nothing."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from tests.support.bucket_stub import S3
from worker.errors import EvidenceConflict, EvidenceKeyUnknown
from worker.evidence.manifest import FileEntry, Manifest
from worker.evidence.rotation import Rotated, rotate
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from worker.evidence.store import VerificationEvidence

REGION, ID = "ph", "f302f5d2454a85c2"
ANSWER, IMAGE = b'{"code":"SUCCESS"}', b"\xff\xd8\xff image"
AT = "2026-01-02T03:04:05.678Z"
KEYS = f"one:{b64encode(bytes(32)).decode()}"


@pytest.fixture(params=["local", "bucket"])
def one(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., VerificationEvidence]]:
    """Return a function that opens the same verification, with keys or without."""
    with S3().running() as stub:
        for name, value in stub.environment().items():
            monkeypatch.setenv(name, value)
        url = tmp_path.as_uri() if request.param == "local" else "s3://bucket/ekyc"

        def opened(keys: str = "") -> VerificationEvidence:
            return Evidence(url, keys=keys).of(REGION, ID)

        opened().keep_answer(ANSWER)
        yield opened


def entry(body: bytes) -> FileEntry:
    return FileEntry("front.jpg", "front", len(body), sha256(body).hexdigest(), "image/jpeg", AT)


def manifest(code: str) -> Manifest:
    return Manifest(ID, REGION, "PASS", code, None, AT, complete=True, files=(entry(IMAGE),))


def add(evidence: VerificationEvidence, image: bytes, code: str) -> Manifest | None:
    with evidence.adding() as adding:
        adding(entry(image), image)
        adding.seal(manifest(code))
    return adding.manifest


@pytest.mark.parametrize("keys", ["", KEYS])
def test_image_and_manifest_are_stored_in_one_block(
    one: Callable[..., VerificationEvidence], keys: str
) -> None:
    assert add(one(keys), IMAGE, "SUCCESS") == manifest("SUCCESS")
    assert one(keys).read("front.jpg") == IMAGE
    assert one(keys).manifest() == manifest("SUCCESS")


@pytest.mark.parametrize("keys", ["", KEYS])
def test_a_manifest_that_was_first_stays(one: Callable[..., VerificationEvidence], keys: str) -> None:
    one(keys).keep_manifest(manifest("FIRST"))
    assert add(one(keys), IMAGE, "SECOND") == manifest("FIRST")
    assert one(keys).manifest() == manifest("FIRST")


def test_a_manifest_is_stored_beside_an_image_that_was_first(
    one: Callable[..., VerificationEvidence],
) -> None:
    one().keep("front.jpg", IMAGE)
    assert add(one(), IMAGE, "SUCCESS") == manifest("SUCCESS")
    assert one().manifest() == manifest("SUCCESS")


def test_no_manifest_is_stored_beside_an_image_with_other_bytes(
    one: Callable[..., VerificationEvidence],
) -> None:
    one().keep("front.jpg", b"\xff\xd8\xff another image")
    with pytest.raises(EvidenceConflict, match="holds other bytes"):
        add(one(), IMAGE, "SUCCESS")
    assert one().manifest() is None


def test_a_manifest_of_another_process_is_not_taken_back(one: Callable[..., VerificationEvidence]) -> None:
    """The folder is encrypted meanwhile, and the image was there first, so this process has written no manifest."""
    one().keep("front.jpg", IMAGE)

    def write() -> None:
        late, image = one(), b"\xff\xd8\xff second"
        with late.adding() as adding:
            adding(entry(IMAGE), IMAGE)
            adding(
                FileEntry("back.jpg", "back", len(image), sha256(image).hexdigest(), "image/jpeg", AT), image
            )
            adding.seal(manifest("LATE"))
            one().keep_manifest(manifest("FIRST"))
            assert rotate(one(KEYS)) is Rotated.ENCRYPTED

    with pytest.raises(EvidenceKeyUnknown):
        write()
    assert one(KEYS).manifest() == manifest("FIRST")
