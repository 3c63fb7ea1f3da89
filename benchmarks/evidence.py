"""What keeping evidence in a local folder costs, beside the same files written without any promise.

    python benchmarks/evidence.py [--folder var] [--verifications 500] [--rounds 5] [--json]

For each verification: an answer of 1 kB, two images of 60 kB that come from memory, and a manifest. Ours keeps the
answer, reads it again as another worker would, hashes and keeps the images, seals them; all is synced to the disk. The
other ways: `encrypted` is ours with keys; `fsync` is ours with each file synced by itself, where ours syncs the file
system; `plain` makes a folder and writes four files. Each with one verification after the other and 64 at once, as the
greenlets of one thread that a worker's calls are, in turns; medians of the rounds.

Nothing is removed before the end: a file system without a journal passes over the places of what was removed a short
while ago, one by one, and takes many times as long for it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from gevent.pool import Pool

from worker.evidence.admission import Admissions
from worker.evidence.archive import archive
from worker.evidence.images import Image, Images
from worker.evidence.storage import durability
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.evidence.admission import Admission
    from worker.evidence.media import Kind

REGION = "ph"
PHOTO = b"\xff\xd8\xff" + os.urandom(60_000)
AT_ONCE = (1, 64)


class Memory:
    """Images that come from memory; their hash is taken, as of those that come over the network."""

    def __init__(self) -> None:
        self.admissions = Admissions()

    @contextmanager
    def for_one(self, wanted: int) -> Iterator[Memory]:
        del wanted
        yield self

    def fetch(self, link: str, admission: Admission, kind: Kind) -> Image:
        del link, admission, kind
        return Image(PHOTO, "image/jpeg", sha256(PHOTO).hexdigest())


def answer(signature_id: str) -> bytes:
    links = {"docFrontImage": "https://images.example/front", "docBackImage": "https://images.example/back"}
    text = {side: {"name": "x" * 100, "address": "x" * 200} for side in ("front", "back")}
    data: dict[str, Any] = {"signatureId": signature_id, "overallResult": "PASS", "errorCode": "SUCCESS"}
    data |= {"docDetail": links | {"ocrInfo": text}}
    return json.dumps({"code": "SUCCESS", "data": data, "transactionId": "d3fde1547eeaf226"}).encode()


def ours(folder: Path, keys: str = "") -> Callable[[str], None]:
    """As a worker does it on this file system."""
    evidence, images = Evidence(folder.as_uri(), keys=keys), cast("Images", Memory())

    def keep(signature_id: str) -> None:
        evidence.of(REGION, signature_id).keep_answer(answer(signature_id))
        archive(evidence.of(REGION, signature_id), images, refresh=lambda: None)

    return keep


def encrypted(folder: Path) -> Callable[[str], None]:
    """As `ours`, with a key: each verification has one file more, and each file is sealed."""
    return ours(folder, format_key(new_key("bench")))


def fsync(folder: Path) -> Callable[[str], None]:
    """As `ours`, each file and folder synced by itself: the difference is what `syncfs` saves."""
    with patch.object(durability, "choose", lambda _: durability.FileSync()):
        keep = ours(folder)
        keep("chooses")
    return keep


def plain(folder: Path) -> Callable[[str], None]:
    folder.mkdir(parents=True)

    def keep(signature_id: str) -> None:
        place = folder / signature_id
        place.mkdir()
        (place / "answer.json").write_bytes(answer(signature_id))
        (place / "front.jpg").write_bytes(PHOTO)
        (place / "back.jpg").write_bytes(PHOTO)
        (place / "manifest.json").write_bytes(bytes(800))

    return keep


def measure(keep: Callable[[str], None], at_once: int, verifications: int) -> dict[str, float]:
    """Wall and processor time of this process, in microseconds for each verification."""
    pool = Pool(at_once)
    pool.map(keep, [f"warm-{n}" for n in range(at_once)])
    wall, cpu = time.perf_counter(), time.process_time()
    pool.map(keep, [f"id-{n}" for n in range(verifications)])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_us": wall / verifications * 1e6, "cpu_us": cpu / verifications * 1e6}


def figures(folder: Path, verifications: int, rounds: int) -> list[dict[str, Any]]:
    taken: dict[tuple[str, int], list[dict[str, float]]] = {}
    for turn in range(rounds):
        for at_once in AT_ONCE:
            for way in (ours, encrypted, fsync, plain):
                keep = way(folder / f"{way.__name__}-{at_once}-{turn}")
                taken.setdefault((way.__name__, at_once), []).append(measure(keep, at_once, verifications))
    return [
        {"way": way, "at_once": at_once}
        | {name: round(statistics.median(one[name] for one in rows)) for name in rows[0]}
        for (way, at_once), rows in taken.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("var"), help="on the disk to be measured")
    parser.add_argument("--verifications", type=int, default=500, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    folder = arguments.folder.resolve()
    with tempfile.TemporaryDirectory(prefix="bench-evidence-", dir=folder) as place:
        rows = figures(Path(place), arguments.verifications, arguments.rounds)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print("{way:9} {at_once:3} at once: {wall_us:6} us, {cpu_us:6} us of processor time".format(**row))


if __name__ == "__main__":
    main()
