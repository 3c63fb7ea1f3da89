"""Collecting the images that an answer names: from the vendor's image host into the evidence store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import ImageHostBusy, ImageLinkExpired, ImageRefused, ImageUnavailable
from worker.evidence import paths
from worker.evidence.manifest import FileEntry, Missing
from worker.http_client import deadline, time_left_s
from worker.time_budget import IMAGES_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from schemas.result import Result
    from worker.evidence.admission import Admission
    from worker.evidence.images import Image, Images, ImagesOfOne
    from worker.evidence.store import StoredFile, VerificationEvidence

log = structlog.get_logger(__name__)

_MEDIA_TYPES: Final = {"json": "application/json"} | {
    extension: media_type for media_type, extension in paths.EXTENSIONS.items()
}


class Links:
    """The links of a document's images. If a link has expired, asks the vendor for fresh links, once."""

    def __init__(self, result: Result | None, refresh: Callable[[], Result | None]) -> None:
        self._by_side = _links(result)
        self._refresh: Callable[[], Result | None] | None = refresh
        self.sides = tuple(self._by_side)

    def fetch(self, images: ImagesOfOne, side: str, admission: Admission) -> Image:
        """Return the image of one side. Raises the errors of ``ImagesOfOne.fetch``."""
        try:
            return images.fetch(self._by_side[side], admission)
        except ImageLinkExpired:
            if not self._renew(side):
                raise
        return images.fetch(self._by_side[side], admission)

    def _renew(self, side: str) -> bool:
        if self._refresh is None:
            return False
        refresh, self._refresh = self._refresh, None
        fresh = _links(refresh())
        self._by_side |= fresh
        return side in fresh


def _links(result: Result | None) -> dict[str, str]:
    if result is None or result.doc_detail is None:
        return {}
    links = (result.doc_detail.front_image, result.doc_detail.back_image)
    return {side: link for side, link in zip(paths.SIDES, links, strict=True) if link}


@dataclass(slots=True)
class Collection:
    """The stored and the missing images of one verification."""

    files: list[FileEntry] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    #: A missing image may be available later.
    pending: bool = False
    #: A missing image was not requested, because its host has reached its limit of fetches.
    busy: bool = False


def collect(
    evidence: VerificationEvidence, images: Images, links: Links, listed: Iterable[StoredFile]
) -> Collection:
    """Fetch and store the images that are not among the files `listed`.

    Each image gets its share of the time that is left, so that a host that hangs on the first image does not block the
    second.
    """
    collection = Collection(list(_kept(evidence, listed)))
    wanted = [side for side in links.sides if side not in {file.role for file in collection.files}]
    with (
        deadline(IMAGES_S),
        evidence.adding() as add,
        images.for_one(len(wanted)) as its_images,
    ):
        for turn, side in enumerate(wanted):
            try:
                share_s = time_left_s() / (len(wanted) - turn)
                with deadline(share_s), images.admissions.one(evidence.region) as admission:
                    collection.files.append(_bring(links, its_images, side, add, admission))
            except ImageHostBusy as error:
                collection.missing.append(Missing(side, ImageUnavailable.cause))
                collection.pending |= error.retry
                collection.busy = True
            except (ImageRefused, ImageUnavailable) as error:
                reason = error.reason if isinstance(error, ImageRefused) else ImageUnavailable.cause
                collection.missing.append(Missing(side, reason))
                collection.pending |= error.retry
                log.warning(
                    "image_missing",
                    region=evidence.region,
                    signature_id=evidence.signature_id,
                    side=side,
                    why=str(error),
                )
    return collection


def _bring(
    links: Links,
    images: ImagesOfOne,
    side: str,
    add: Callable[[FileEntry, bytes], None],
    admission: Admission,
) -> FileEntry:
    # A separate function, so that the bytes of one image are freed before the next image arrives.
    image = links.fetch(images, side, admission)
    name = f"{side}.{paths.EXTENSIONS[image.media_type]}"
    kept_at = rfc3339(datetime.now(UTC))
    entry = FileEntry(name, side, len(image.body), image.sha256, image.media_type, kept_at)
    add(entry, image.body)
    return entry


def _kept(evidence: VerificationEvidence, listed: Iterable[StoredFile]) -> Iterator[FileEntry]:
    """Yield the images that earlier calls stored."""
    for file in listed:
        if file.name.partition(".")[0] in paths.SIDES:
            body = evidence.read(file.name)
            if body is not None:
                yield entry_of(file, body)


def entry_of(file: StoredFile, body: bytes) -> FileEntry:
    """Return the manifest entry of a stored file, computed from its bytes."""
    role, _, extension = file.name.partition(".")
    digest = hashlib.sha256(body).hexdigest()
    return FileEntry(file.name, role, len(body), digest, _MEDIA_TYPES[extension], rfc3339(file.kept_at))


def rfc3339(moment: datetime) -> str:
    """Return a time in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
