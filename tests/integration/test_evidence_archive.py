"""Archiving: real files, real images, a vendor that is asked for fresh links, and hosts that fail."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from shutil import rmtree
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from schemas.result import Result, load_result
from tests.support.image_host import JPEG, PNG, ImageHost
from worker.errors import EvidenceConflict, EvidenceLost, EvidenceUnavailable
from worker.evidence.archive import Archived, archive
from worker.evidence.images import Images
from worker.evidence.manifest import FileEntry, Missing
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.http_client import deadline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REGION, ID = "ph", "f302f5d2454a85c2"
UNKNOWN_ID = b'{"code":"SIGNATURE_NOT_EXIST","message":"?","data":null,"transactionId":"b6d722f7e9f553ae"}'


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path.as_uri())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / REGION / ID


class Archiving:
    """One verification that is being archived, and the vendor's side of it."""

    def __init__(self, evidence: Evidence, host: ImageHost) -> None:
        self.evidence = evidence
        self.images = Images((host.origin,))
        self.fresh: Callable[[], Result | None] = lambda: None
        self.refreshed = 0

    def settled(self, front: str | None, back: str | None) -> bytes:
        """Keep an answer with these links."""
        return self.evidence.of(REGION, ID).keep_answer(answer(front, back))

    def refresh(self) -> Result | None:
        self.refreshed += 1
        return self.fresh()

    def __call__(self, *, final: bool = False) -> Archived:
        return archive(self.evidence.of(REGION, ID), self.images, refresh=self.refresh, final=final)


@pytest.fixture
def archiving(evidence: Evidence, host: ImageHost) -> Archiving:
    return Archiving(evidence, host)


def data(front: str | None, back: str | None) -> dict[str, Any]:
    return {
        "signatureId": ID,
        "overallResult": "fail",
        "submissionCompleted": True,
        "errorCode": "ID_FORGERY_DETECTED",
        "docDetail": {"docFrontImage": front, "docBackImage": back, "ocrInfo": {"front": {"name": "R***"}}},
    }


def answer(front: str | None, back: str | None) -> bytes:
    envelope = {"code": "SUCCESS", "data": data(front, back), "transactionId": "d3fde1547eeaf226"}
    return json.dumps(envelope, indent=1).encode()


def result(front: str | None, back: str | None) -> Result:
    return load_result(data(front, back), signature_id=ID)


def whole(*bodies: bytes) -> Archived:
    """What archiving says where these are all there is to keep."""
    size_bytes = sum(map(len, bodies))
    return Archived(complete=True, pending=False, files=len(bodies), size_bytes=size_bytes, missing=())


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def test_answer_and_images_are_kept_and_sealed(archiving: Archiving, host: ImageHost, folder: Path) -> None:
    raw = archiving.settled(host.serve("/front", JPEG), host.serve("/back", PNG))
    archived = archiving()
    assert archived == whole(raw, JPEG, PNG)
    manifest = archiving.evidence.of(REGION, ID).manifest()
    assert manifest is not None
    assert (manifest.signature_id, manifest.region, manifest.complete) == (ID, REGION, True)
    assert (manifest.overall_result, manifest.error_code) == ("FAIL", "ID_FORGERY_DETECTED")
    assert manifest.transaction_id == "d3fde1547eeaf226"
    expected = [
        ("answer.json", "answer", raw, "application/json"),
        ("back.png", "back", PNG, "image/png"),
        ("front.jpg", "front", JPEG, "image/jpeg"),
    ]
    for entry, (name, role, body, media_type) in zip(manifest.files, expected, strict=True):
        digest = hashlib.sha256(body).hexdigest()
        assert entry == FileEntry(name, role, len(body), digest, media_type, entry.kept_at)
        assert entry.kept_at.endswith("Z")
        assert entry.kept_at <= manifest.archived_at
        assert (folder / name).read_bytes() == body
    assert verify(archiving.evidence.of(REGION, ID)) == []
    assert archiving.refreshed == 0


def test_doing_it_twice_changes_nothing(archiving: Archiving, host: ImageHost, folder: Path) -> None:
    archiving.settled(host.serve("/front", JPEG), host.serve("/back", PNG))
    first = archiving()
    before = snapshot(folder)
    host.says.clear()
    assert archiving() == first
    assert archiving(final=True) == first
    assert snapshot(folder) == before
    assert host.asked == ["/front", "/back"]


@pytest.mark.parametrize("raw", [answer(None, None), answer("", ""), UNKNOWN_ID])
def test_an_answer_that_names_no_image_is_complete_by_itself(archiving: Archiving, raw: bytes) -> None:
    archiving.evidence.of(REGION, ID).keep_answer(raw)
    assert archiving() == whole(raw)
    assert verify(archiving.evidence.of(REGION, ID)) == []


def test_an_answer_without_a_document_is_complete_by_itself(archiving: Archiving) -> None:
    raw = json.dumps(
        {"code": "SUCCESS", "data": data(None, None) | {"docDetail": None}, "transactionId": None}
    ).encode()
    archiving.evidence.of(REGION, ID).keep_answer(raw)
    assert archiving().complete


def test_an_unknown_id_is_sealed_without_a_result(archiving: Archiving) -> None:
    archiving.evidence.of(REGION, ID).keep_answer(UNKNOWN_ID)
    archiving()
    manifest = archiving.evidence.of(REGION, ID).manifest()
    assert manifest is not None
    assert (manifest.overall_result, manifest.error_code) == (None, None)
    assert manifest.transaction_id == "b6d722f7e9f553ae"


def test_expired_links_are_refreshed_once_for_both_images(archiving: Archiving, host: ImageHost) -> None:
    archiving.settled(host.serve("/front", b"", 403), host.serve("/back", b"", 403))
    archiving.fresh = lambda: result(host.serve("/front2", JPEG), host.serve("/back2", PNG))
    assert archiving().complete
    assert archiving.refreshed == 1
    assert host.asked == ["/front", "/front2", "/back2"]


def test_the_vendor_is_not_asked_twice_for_fresh_links(archiving: Archiving, host: ImageHost) -> None:
    archiving.settled(host.serve("/front", b"", 403), host.serve("/back", b"", 403))
    archiving.fresh = lambda: result(host.serve("/front2", b"", 403), host.serve("/back2", b"", 403))
    assert archiving().pending
    assert archiving.refreshed == 1
    assert host.asked == ["/front", "/front2", "/back2"]


def test_a_link_that_expired_after_the_first_image_is_refreshed(
    archiving: Archiving, host: ImageHost
) -> None:
    archiving.settled(host.serve("/front", JPEG), host.serve("/back", b"", 403))
    archiving.fresh = lambda: result(host.serve("/front2", JPEG), host.serve("/back2", PNG))
    assert archiving().complete
    assert host.asked == ["/front", "/back", "/back2"]


def test_the_answer_that_was_kept_first_stays_when_links_are_refreshed(
    archiving: Archiving, host: ImageHost
) -> None:
    raw = archiving.settled(host.serve("/front", b"", 403), None)
    archiving.fresh = lambda: result(host.serve("/front2", JPEG), None)
    archiving()
    assert archiving.evidence.of(REGION, ID).answer() == raw
    assert verify(archiving.evidence.of(REGION, ID)) == []


@pytest.mark.parametrize("fresh", ["nothing", "no such side", "expired again"])
def test_a_link_that_stays_dead_is_tried_again_later(
    archiving: Archiving, host: ImageHost, fresh: str
) -> None:
    archiving.settled(host.serve("/front", b"", 403), None)
    archiving.fresh = {
        "nothing": lambda: None,
        "no such side": lambda: result(None, None),
        "expired again": lambda: result(host.serve("/front2", b"", 403), None),
    }[fresh]
    archived = archiving()
    assert archived.pending
    assert archived.missing == (Missing("front", "IMAGE_UNAVAILABLE"),)
    assert archiving.refreshed == 1
    archiving.fresh = lambda: result(host.serve("/front3", JPEG), None)
    assert archiving().complete


def test_an_image_that_cannot_be_had_now_leaves_no_manifest_and_keeps_the_other(
    archiving: Archiving, host: ImageHost, folder: Path
) -> None:
    raw = archiving.settled(host.serve("/front", b"", 503), host.serve("/back", PNG))
    archived = archiving()
    assert archived == Archived(
        complete=False,
        pending=True,
        files=2,
        size_bytes=len(raw) + len(PNG),
        missing=(Missing("front", "IMAGE_UNAVAILABLE"),),
    )
    assert archiving.evidence.of(REGION, ID).manifest() is None
    assert (folder / "back.png").read_bytes() == PNG


def test_a_second_try_fetches_only_what_is_missing(archiving: Archiving, host: ImageHost) -> None:
    archiving.settled(host.serve("/front", b"", 503), host.serve("/back", PNG))
    archiving()
    host.asked.clear()
    host.serve("/front", JPEG)
    assert archiving().complete
    assert host.asked == ["/front"]
    assert verify(archiving.evidence.of(REGION, ID)) == []


def test_the_final_try_seals_what_there_is(archiving: Archiving, host: ImageHost) -> None:
    archiving.settled(host.serve("/front", b"", 503), host.serve("/back", PNG))
    archiving()
    archived = archiving(final=True)
    assert (archived.complete, archived.pending, archived.files) == (False, False, 2)
    assert archived.missing == (Missing("front", "IMAGE_UNAVAILABLE"),)
    manifest = archiving.evidence.of(REGION, ID).manifest()
    assert manifest is not None
    assert not manifest.complete
    assert manifest.missing == archived.missing
    host.serve("/front", JPEG)
    host.asked.clear()
    assert archiving() == archived, "what is sealed stays sealed"
    assert host.asked == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"body": b"<html>"}, "NOT_AN_IMAGE"),
        ({"body": b"", "status": 302, "Location": "http://169.254.169.254/"}, "REDIRECT"),
        ({"body": JPEG, "Content-Length": str(21 << 20)}, "TOO_LARGE"),
    ],
)
def test_a_refused_image_is_recorded_with_its_reason_and_not_waited_for(
    archiving: Archiving, host: ImageHost, said: dict[str, Any], reason: str
) -> None:
    archiving.settled(host.serve("/front", **said), host.serve("/back", PNG))
    archived = archiving()
    assert (archived.complete, archived.pending, archived.files) == (False, False, 2)
    assert archived.missing == (Missing("front", reason),)
    assert archiving.refreshed == 0
    assert verify(archiving.evidence.of(REGION, ID)) == []


def test_an_image_from_where_none_may_come_is_recorded(archiving: Archiving, host: ImageHost) -> None:
    archiving.settled("https://elsewhere.example.com/front.jpg", "not a link")
    assert archiving().missing == (Missing("front", "ORIGIN_NOT_ALLOWED"), Missing("back", "BAD_URL"))


def test_a_host_that_hangs_on_the_first_image_does_not_keep_the_second_away(
    archiving: Archiving, host: ImageHost
) -> None:
    """Both share one deadline, and each gets its part."""
    archiving.settled(host.drip("/front", JPEG), host.serve("/back", PNG))
    with deadline(1.5):
        archived = archiving()
    assert archived.pending
    assert archived.files == 2
    assert archived.missing == (Missing("front", "IMAGE_UNAVAILABLE"),)


def test_an_answer_that_is_gone_is_lost(archiving: Archiving) -> None:
    """The store answers: it has nothing of this one."""
    with pytest.raises(EvidenceLost, match="EKYC_EVIDENCE_URL") as caught:
        archiving()
    assert caught.value.reason == EvidenceLost.ANSWER_GONE


@pytest.mark.parametrize("name", ["answer.json", "front.jpg"])
def test_files_that_a_manifest_names_and_that_are_gone_are_lost(
    archiving: Archiving, host: ImageHost, folder: Path, name: str
) -> None:
    archiving.settled(host.serve("/front", JPEG), None)
    archiving()
    (folder / name).unlink()
    with pytest.raises(EvidenceLost) as caught:
        archiving()
    assert caught.value.reason == EvidenceLost.FILES_GONE


@pytest.mark.parametrize("raw", [b"", b"{", answer(None, None).replace(ID.encode(), b"another")])
def test_an_answer_that_cannot_be_what_was_kept_asks_for_a_person(archiving: Archiving, raw: bytes) -> None:
    """As on a file system that takes two ids for one, or after a hand in the store."""
    archiving.evidence.of(REGION, ID).keep_answer(raw)
    with pytest.raises(EvidenceConflict) as caught:
        archiving()
    assert caught.value.quarantine
    assert archiving.evidence.of(REGION, ID).manifest() is None


def test_other_bytes_that_came_first_are_not_replaced(
    archiving: Archiving, host: ImageHost, folder: Path
) -> None:
    """Another worker kept an image between our look at the folder and our write."""
    archiving.settled(host.serve("/front", JPEG), None)
    serve = host.says["/front"]

    def overtake(request: Any) -> None:
        archiving.evidence.of(REGION, ID).keep("front.jpg", JPEG + b"other")
        serve(request)

    host.says["/front"] = overtake
    with pytest.raises(EvidenceConflict):
        archiving()
    assert (folder / "front.jpg").read_bytes() == JPEG + b"other"


def test_of_two_workers_that_seal_at_once_both_tell_of_the_same_manifest(
    archiving: Archiving, host: ImageHost, evidence: Evidence
) -> None:
    archiving.settled(host.serve("/front", JPEG), None)
    serve = host.says["/front"]
    other = Archiving(evidence, host)

    def overtake(request: Any) -> None:
        host.says["/front"] = serve
        other()
        serve(request)

    host.says["/front"] = overtake
    assert archiving() == other()
    assert verify(evidence.of(REGION, ID)) == []


def test_of_many_workers_at_the_same_verification_at_once_all_tell_the_same(
    tmp_path: Path, host: ImageHost
) -> None:
    raw = answer(host.serve("/front", JPEG), host.serve("/back", PNG))
    images, at_once = Images((host.origin,)), Barrier(8)

    def work(evidence: Evidence) -> tuple[bytes, Archived]:
        at_once.wait()
        kept = evidence.of(REGION, ID).keep_answer(raw)
        return kept, archive(evidence.of(REGION, ID), images, refresh=lambda: None)

    with ThreadPoolExecutor(at_once.parties) as pool:
        for turn in range(5):
            place = tmp_path / str(turn)
            workers = [Evidence(place.as_uri()) for _ in range(at_once.parties)]
            assert set(pool.map(work, workers)) == {(raw, whole(raw, JPEG, PNG))}
            assert verify(workers[0].of(REGION, ID)) == []
            assert len(list((place / REGION / ID).iterdir())) == 4


def test_an_image_whose_answer_is_gone_is_not_kept_alone(
    archiving: Archiving, host: ImageHost, folder: Path
) -> None:
    """Somebody removed the evidence, as a person may ask, while an image was on its way."""
    archiving.settled(host.serve("/front", JPEG), None)
    serve = host.says["/front"]

    def remove(request: Any) -> None:
        rmtree(folder)
        serve(request)

    host.says["/front"] = remove
    with pytest.raises(EvidenceUnavailable, match="no such file or directory"):
        archiving()
    assert not folder.exists()


def test_nothing_personal_is_logged(
    archiving: Archiving,
    host: ImageHost,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archiving.settled(host.serve("/hush", b"", 503), f"{host.origin}@hush")
    archiving()
    told = capsys.readouterr()
    assert "image_missing" in told.out + caplog.text
    assert "hush" not in told.out + told.err + caplog.text
