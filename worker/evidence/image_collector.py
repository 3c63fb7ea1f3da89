"""Collecting what an answer links to, such as images: from the vendor's hosts into the evidence store."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import ImageHostBusy, ImageLinkExpired, ImageRefused, ImageUnavailable
from worker.evidence import paths
from worker.evidence.manifest import FileEntry, Manifest, Missing
from worker.evidence.marks import rfc3339
from worker.evidence.media import EXTENSION
from worker.http_client import deadline, time_left_s
from worker.time_budget import IMAGES_S, OBJECT_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from schemas.result import Result
    from worker.evidence.admission import Admission
    from worker.evidence.images import Image, Images, ImagesOfOne
    from worker.evidence.store import StoredFile, VerificationEvidence

log = structlog.get_logger(__name__)

_MEDIA_TYPES: Final = {"json": "application/json"} | {
    extension: media_type for media_type, extension in EXTENSION.items()
}

_ORDER: Final = tuple(paths.ROLES)


class Links:
    """The links of one answer by role. If a link has expired, asks the vendor for fresh links, once."""

    def __init__(self, result: Result | None, refresh: Callable[[], Result | None]) -> None:
        self._by_role = result.links if result else {}
        self._refresh: Callable[[], Result | None] | None = refresh
        self.roles = tuple(role for role in paths.ROLES if role in self._by_role)

    def fetch(self, images: ImagesOfOne, role: str, admission: Admission) -> Image:
        """Return the object of one role. Raises the errors of ``ImagesOfOne.fetch``."""
        kind = paths.ROLES[role]
        try:
            return images.fetch(self._by_role[role], admission, kind)
        except ImageLinkExpired:
            if not self._renew(role):
                raise
        return images.fetch(self._by_role[role], admission, kind)

    def _renew(self, role: str) -> bool:
        if self._refresh is None:
            return False
        refresh, self._refresh = self._refresh, None
        result = refresh()
        fresh = result.links if result else {}
        self._by_role |= fresh
        return role in fresh


@dataclass(slots=True)
class Collection:
    """The stored and the missing images of one verification."""

    files: list[FileEntry] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    #: A missing image may be available later.
    pending: bool = False
    #: A missing image was not requested, because its host has reached its limit of fetches.
    busy: bool = False
    #: The stored manifest; None: `manifest_of` returned none.
    manifest: Manifest | None = None


def collect(
    evidence: VerificationEvidence,
    images: Images,
    links: Links,
    listed: Iterable[StoredFile],
    manifest_of: Callable[[Collection], Manifest | None],
) -> Collection:
    """Fetch and store the linked objects that are not among the files `listed`, one after the other.

    `manifest_of` is called once, after the last object. The manifest that it returns is stored in the same block as the
    objects, which costs less than a block of its own.

    Each object gets its share of the time that is left, or half of the whole time if that is more, so that a host that
    hangs on one object leaves time to others. More than two are fetched in random order, so that objects that get no
    time now get some in a later call.
    """
    collection = Collection(list(_kept(evidence, listed)))
    wanted = _in_turn(links.roles, {file.role for file in collection.files})
    with (
        deadline(IMAGES_S),
        evidence.adding() as add,
        images.for_one(len(wanted)) as its_images,
    ):
        longest_s = time_left_s() * OBJECT_SHARE
        for turn, role in enumerate(wanted):
            left_s = time_left_s()
            if not left_s:
                collection.missing += [Missing(each, ImageUnavailable.cause) for each in wanted[turn:]]
                collection.pending = True
                break
            try:
                share_s = max(left_s / (len(wanted) - turn), longest_s)
                with deadline(share_s), images.admissions.one(evidence.region) as admission:
                    collection.files.append(_bring(links, its_images, role, add, admission))
            except ImageHostBusy as error:
                collection.missing.append(Missing(role, ImageUnavailable.cause))
                collection.pending |= error.retry
                collection.busy = True
            except (ImageRefused, ImageUnavailable) as error:
                reason = error.reason if isinstance(error, ImageRefused) else ImageUnavailable.cause
                collection.missing.append(Missing(role, reason))
                collection.pending |= error.retry
                log.warning(
                    "image_missing",
                    region=evidence.region,
                    signature_id=evidence.signature_id,
                    side=role,
                    why=str(error),
                )
        collection.missing.sort(key=lambda missing: _ORDER.index(missing.role))
        if manifest := manifest_of(collection):
            add.seal(manifest)
    collection.manifest = add.manifest
    return collection


def _in_turn(roles: tuple[str, ...], kept: set[str]) -> list[str]:
    """The roles that are not kept. A random order where they may not all get time."""
    wanted = [role for role in roles if role not in kept]
    if len(wanted) * OBJECT_SHARE > 1:
        random.shuffle(wanted)
    return wanted


def _bring(
    links: Links,
    images: ImagesOfOne,
    role: str,
    add: Callable[[FileEntry, bytes], None],
    admission: Admission,
) -> FileEntry:
    # A separate function, so that the bytes of one object are freed before the next one arrives.
    image = links.fetch(images, role, admission)
    name = f"{role}.{EXTENSION[image.media_type]}"
    kept_at = rfc3339(datetime.now(UTC))
    entry = FileEntry(name, role, len(image.body), image.sha256, image.media_type, kept_at)
    add(entry, image.body)
    return entry


def _kept(evidence: VerificationEvidence, listed: Iterable[StoredFile]) -> Iterator[FileEntry]:
    """Yield the objects that earlier calls stored.

    One that may be planted is fetched again: if it has the bytes of the vendor's, it counts.
    """
    for file in listed:
        if file.name.partition(".")[0] in paths.ROLES:
            found = evidence.content(file.name)
            if found and not found.may_be_planted:
                yield entry_of(file, found.body)


def entry_of(file: StoredFile, body: bytes) -> FileEntry:
    """Return the manifest entry of a stored file, computed from its bytes."""
    role, _, extension = file.name.partition(".")
    digest = hashlib.sha256(body).hexdigest()
    return FileEntry(file.name, role, len(body), digest, _MEDIA_TYPES[extension], rfc3339(file.kept_at))
