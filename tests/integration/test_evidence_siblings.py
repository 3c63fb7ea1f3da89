"""Archiving what sibling products link to: up to eight objects of four kinds, from real hosts that may misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from schemas.face import FACE_LINKS
from schemas.result import Result, load_result
from tests.support.image_host import JPEG, PNG, ImageHost
from tests.support.media import MP4, PDF, ZIP
from worker.concurrency.executor import EventLoop, Executor
from worker.evidence.archive import Archived, archive
from worker.evidence.images import MAX_BYTES, Images
from worker.evidence.manifest import Missing
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.http_client import deadline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from worker.evidence.manifest import Manifest

REGION, ID = "ph", "f302f5d2454a85c2"
NAMES = {"front": "docFrontImage", "back": "docBackImage"} | FACE_LINKS
BODIES = dict.fromkeys(NAMES, JPEG) | {"back": PNG, "audit": ZIP, "video": MP4}
FILES = {role: f"{role}.jpg" for role in NAMES} | {
    "back": "back.png",
    "audit": "audit.zip",
    "video": "video.mp4",
}


def data(links: dict[str, str | None], signature_id: str = ID, **more: Any) -> dict[str, Any]:
    """The PASS of a document and a face, with a link for each role that is given."""
    document = {NAMES[role]: link for role, link in links.items() if role in ("front", "back")}
    face = {NAMES[role]: link for role, link in links.items() if role in FACE_LINKS}
    return {
        "signatureId": signature_id,
        "overallResult": "PASS",
        "errorCode": "SUCCESS",
        "docDetail": document,
        "faceDetail": {"faceResult": "PASS"} | face,
    } | more


class Archiving:
    """One verification, its links, and its evidence."""

    def __init__(self, folder: Path, host: ImageHost) -> None:
        self.evidence = Evidence(folder.as_uri()).of(REGION, ID)
        self.host = host
        self.images = Images((host.origin,))
        self.fresh: dict[str, str | None] = {}
        self.refreshed = 0

    def serve(self, **bodies: bytes) -> dict[str, str | None]:
        """Links to every object, as it is or with other bytes."""
        return {role: self.host.serve(f"/{role}", body) for role, body in (BODIES | bodies).items()}

    def keep(self, links: dict[str, str | None], **more: Any) -> None:
        answer = {"code": "SUCCESS", "data": data(links, **more), "transactionId": "d3fde1547eeaf226"}
        self.evidence.keep_answer(json.dumps(answer).encode())

    def __call__(self, *, final: bool = False) -> Archived:
        return archive(self.evidence, self.images, refresh=self._refresh, final=final)

    def _refresh(self) -> Result | None:
        self.refreshed += 1
        return load_result(data(self.fresh), signature_id=ID) if self.fresh else None

    def manifest(self) -> Manifest:
        manifest = self.evidence.manifest()
        assert manifest is not None
        return manifest

    def roles(self) -> dict[str, str]:
        """The file of each role in the manifest, the answer left out."""
        return {file.role: file.name for file in self.manifest().files if file.role != "answer"}


@pytest.fixture
def archiving(tmp_path: Path, host: ImageHost) -> Archiving:
    return Archiving(tmp_path, host)


def test_all_eight_objects_are_kept_under_their_roles(archiving: Archiving) -> None:
    archiving.keep(archiving.serve())

    archived = archiving()

    assert (archived.complete, archived.files, archived.missing) == (True, 9, ())
    assert archiving.roles() == FILES
    assert {role: archiving.evidence.read(name) for role, name in FILES.items()} == BODIES
    types = {file.role: file.media_type for file in archiving.manifest().files}
    assert (types["audit"], types["video"], types["face"]) == ("application/zip", "video/mp4", "image/jpeg")
    assert verify(archiving.evidence) == []


def test_doing_it_twice_fetches_nothing_twice(archiving: Archiving) -> None:
    archiving.keep(archiving.serve())
    first = archiving()
    asked = Counter(archiving.host.asked)

    assert archiving() == first
    assert Counter(archiving.host.asked) == asked == Counter(f"/{role}" for role in NAMES)


@pytest.mark.parametrize("word", ["PENDING", "ERROR", None, ""])
def test_evidence_without_a_video_is_complete(archiving: Archiving, word: str | None) -> None:
    archiving.keep(archiving.serve() | {"video": word})

    assert archiving().complete
    assert archiving.roles().keys() == NAMES.keys() - {"video"}


def test_documents_of_an_address_are_kept(archiving: Archiving) -> None:
    pdf, photo = archiving.host.serve("/bill", PDF), archiving.host.serve("/photo", JPEG)
    archiving.keep({}, addressDetail={"proofFile": pdf, "proofImages": [photo, f"{archiving.host.origin}@x"]})

    archived = archiving()

    assert archived.missing == (Missing("address_3", "BAD_URL"),)
    assert not archived.complete
    assert archiving.roles() == {"address_1": "address_1.pdf", "address_2": "address_2.jpg"}
    assert verify(archiving.evidence) == []


def test_what_is_not_of_its_kind_is_reported_by_role(archiving: Archiving) -> None:
    archiving.keep(archiving.serve(face=ZIP, audit=JPEG, video=PDF, silent=b"<html>"))

    archived = archiving()

    assert not archived.complete
    assert not archived.pending
    assert archived.missing == (
        Missing("face", "NOT_AN_IMAGE"),
        Missing("silent", "NOT_AN_IMAGE"),
        Missing("audit", "NOT_AN_ARCHIVE"),
        Missing("video", "NOT_A_VIDEO"),
    )
    assert archiving.manifest().missing == archived.missing
    assert archiving.roles().keys() == {"front", "back", "face_far", "face_near"}


def test_an_archive_is_kept_as_it_is_and_never_unpacked(archiving: Archiving) -> None:
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as files:
        files.writestr("../../large.jpg", bytes(3 * MAX_BYTES))
    archiving.keep(archiving.serve(audit=packed.getvalue()))

    assert archiving().complete
    assert archiving.evidence.read("audit.zip") == packed.getvalue()
    assert len(archiving.evidence.files()) == 10


@pytest.mark.parametrize("role", ["audit", "video", "face"])
def test_every_kind_has_the_same_limit(archiving: Archiving, role: str) -> None:
    links = archiving.serve()
    larger: dict[str, Any] = {"Content-Length": str(MAX_BYTES + 1)}
    archiving.host.serve(f"/{role}", BODIES[role], **larger)
    archiving.keep(links)

    assert archiving().missing == (Missing(role, "TOO_LARGE"),)


def test_dead_links_of_all_are_refreshed_once(archiving: Archiving) -> None:
    archiving.keep({role: archiving.host.serve(f"/old/{role}", b"", 403) for role in NAMES})
    archiving.fresh = archiving.serve()

    assert archiving().complete
    assert archiving.refreshed == 1
    assert len([path for path in archiving.host.asked if path.startswith("/old")]) == 1
    assert archiving.roles() == FILES


def test_the_vendor_is_asked_for_fresh_links_once_in_a_call(archiving: Archiving) -> None:
    archiving.keep({role: archiving.host.serve(f"/old/{role}", b"", 403) for role in NAMES})
    dead: dict[str, str | None] = {
        role: archiving.host.serve(f"/dead/{role}", b"", 403) for role in ("face", "audit", "video")
    }
    archiving.fresh = archiving.serve() | dead

    archived = archiving()

    assert (archived.pending, archiving.refreshed) == (True, 1)
    assert [missing.role for missing in archived.missing] == list(dead)


def test_those_that_cannot_be_had_now_are_fetched_later(archiving: Archiving) -> None:
    archiving.keep(archiving.serve())
    for role in ("audit", "face"):
        archiving.host.serve(f"/{role}", b"", 503)
    first = archiving()
    assert (first.pending, first.complete, first.files) == (True, False, 7)
    assert {missing.role for missing in first.missing} == {"audit", "face"}
    archiving.serve()
    archiving.host.asked.clear()

    assert archiving().complete
    assert sorted(archiving.host.asked) == ["/audit", "/face"]


def test_links_that_hang_keep_no_other_object_away_for_good(archiving: Archiving) -> None:
    """Three hang. Two of them may take the whole time of one call, so others get theirs at a later one."""
    hanging = {"front", "face", "video"}
    archiving.keep(archiving.serve())
    for role in hanging:
        archiving.host.drip(f"/{role}", BODIES[role])
    calls = 0
    while True:
        calls += 1
        with deadline(0.5):
            archived = archiving()
        assert archived.pending
        if {missing.role for missing in archived.missing} == hanging:
            break
        # With half of the time lost to each link that hangs, one call in ten gets nothing.
        assert calls < 60, archived.missing
    assert archived.files == 1 + len(NAMES) - len(hanging)


def test_one_call_takes_no_longer_than_its_time_however_many_hang(archiving: Archiving) -> None:
    archiving.keep({role: archiving.host.drip(f"/{role}", body) for role, body in BODIES.items()})
    began_at = time.monotonic()
    with deadline(0.5):
        archived = archiving()

    assert time.monotonic() - began_at < 5
    assert [missing.role for missing in archived.missing] == list(NAMES)
    assert archived.pending


@contextmanager
def counted(path: str, now: Counter[str], most: Counter[str]) -> Iterator[None]:
    person = path.split("/")[1]
    now[person] += 1
    most[person] = max(most[person], now[person])
    try:
        yield
    finally:
        now[person] -= 1


def test_a_verification_that_hangs_delays_no_other(tmp_path: Path, host: ImageHost) -> None:
    """In the event loop, as in a worker: all at once, each with eight objects of one host, one object at a time."""
    evidence, images = Evidence(tmp_path.as_uri()), Images((host.origin,))
    now, most, lock = Counter[str](), Counter[str](), threading.Lock()

    def answer(body: bytes) -> Any:
        def give(request: BaseHTTPRequestHandler) -> None:
            with counted(request.path, now, most):
                time.sleep(0.01)
                request.send_response(200)
                request.send_header("Content-Length", str(len(body)))
                request.end_headers()
                request.wfile.write(body)

        return give

    people = ["hostile", *(f"person-{number}" for number in range(12))]
    for person in people:
        links: dict[str, str | None] = {}
        for role, body in BODIES.items():
            path = f"/{person}/{role}"
            links[role] = host.drip(path, body) if person == "hostile" else f"{host.origin}{path}"
            host.says.setdefault(path, answer(body))
        envelope = {"code": "SUCCESS", "data": data(links, person)}
        evidence.of(REGION, person).keep_answer(json.dumps(envelope).encode())
    ended: list[str] = []

    def each(person: str) -> bool:
        with deadline(30):
            archived = archive(evidence.of(REGION, person), images, refresh=lambda: None)
        with lock:
            ended.append(person)
            if len(ended) == len(people) - 1:
                host.over.set()  # All others are done.
        return archived.complete

    run, complete = Executor(64, EventLoop()).begin(each, people), 0
    while run.pending:
        complete += sum(done for _, done in run.outcomes(timeout_s=60, gather_s=lambda: 0.1))

    assert complete == len(people) - 1
    assert ended[-1] == "hostile"
    assert set(most.values()) == {1}, "one object at a time, so that none waits for the memory of another"
