"""Draws the pictures of `docs/console-screens.md`: `python -m tests.acceptance.console_pictures docs/images`.

A fleet at work, the sandbox as the vendor, a Valkey, `web` and Debian's Chromium, all of them real; nobody stands
behind the ids, and the documents are the sandbox's. One thing is not real: the figures of the last hour are those of
the minute in which the fleet has worked, spread over an hour.
"""

from __future__ import annotations

import base64
import math
import struct
import sys
import time
import uuid
import zlib
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from tests.acceptance.console_world import world_at
from tests.support.browser import DARK, LIGHT, NARROW, WIDE, chromium
from tests.support.console import EVERYTHING, OPERATOR, REVIEWER
from tests.support.receiver import Answer
from tests.support.waiting import until
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playwright.sync_api import Page

    from tests.acceptance.console_world import World
    from tests.support.browser import Tab

#: The looks of each picture: the end of its name, the width, the height, and the scheme of colours.
LOOKS: Final = (("", WIDE, 800, LIGHT), ("-dark", WIDE, 800, DARK), ("-narrow", NARROW, 760, LIGHT))

#: Screens that are drawn higher, or less high: a path of this machine is no part of a picture.
HIGHER: Final = {"now": 700, "verification": 300, "decisions": -100}

#: Colours of a picture, and how far apart two of them are at least: the square of the distance, of 8 bits a channel.
COLOURS: Final = 128
APART: Final = 500

#: The most frequent colours, which are kept however near they are: the grounds of the page.
GROUNDS: Final = 6

#: What is answered to how many of a region's verifications.
MIX: Final = {
    "": 160, "CARD_NOT_FOUND": 22, "OCR_NO_RESULT": 11, "ID_FORGERY_DETECTED": 6, "LIVENESS_ATTACK": 3,
    "USER_TIMEOUT": 8, "pass-n3": 20, "nodata": 4, "wrongid-always": 2, "unknownresult": 3,
}  # fmt: skip

#: The verification that is shown, and the one whose evidence is.
SHOWN: Final = "CARD_NOT_FOUND-n3-t2s-20f1a8"
LOOKED_AT: Final = "ID_FORGERY_DETECTED-7c40be"


def main(images: Path) -> None:
    with TemporaryDirectory() as name, chromium() as browser, world_at(Path(name), workers=2) as world:
        work(world)
        with ExitStack() as tabs:
            tab = tabs.enter_context(browser.tab(world.origin, cookies=world.cookies(EVERYTHING)))
            drawing = tabs.enter_context(browser.tab("about:")).page
            for screen, path in pages(world).items():
                files = {end: images / f"console-{screen}{end}.png" for end, *_ in LOOKS}
                draw(tab, drawing, path, files, HIGHER.get(screen, 0))


def pages(world: World) -> dict[str, str]:
    """The path of each screen by the name of its picture."""
    answer = world.person(EVERYTHING).post(f"/console/evidence/ph/{LOOKED_AT}/look", why="complaint 4711")
    return {
        "now": "/console/",
        "verifications": "/console/verifications?stage=done&region=ph",
        "verification": f"/console/verifications/ph/{SHOWN}",
        "quarantine": "/console/quarantine",
        "deliveries": "/console/deliveries",
        "decisions": "/console/decisions",
        "audit": "/console/audit",
        "evidence": answer.headers["location"],
    }


def work(world: World) -> None:
    """Let the fleet work, and people act."""
    for region, share in (("ph", 1.0), ("sg", 0.4)):
        ids = [
            f"{kind}-{uuid.uuid4().hex[:12]}".strip("-")
            for kind, count in MIX.items()
            for _ in range(math.ceil(count * share))
        ]
        world.enqueue(*ids, region=region)
    world.enqueue(SHOWN, LOOKED_AT)
    stats = world.fleet.stats()

    def is_over() -> bool:
        return all(
            (counts := stats.counts(region)).enqueued == counts.done + counts.quarantined
            for region in ("ph", "sg")
        )

    until(is_over, "all is done or in quarantine", 240)
    for region in ("ph", "sg"):
        spread_over_an_hour(world, region)
    act(world)


def act(world: World) -> None:
    """What people do, and what is still to be done."""
    operator, reviewer = world.person(OPERATOR), world.person(REVIEWER)
    operator.post("/console/quarantine/act", act="drop", why="ticket 4711", id=quarantined(world, "wrongid"))
    reviewer.post(f"/console/evidence/ph/{LOOKED_AT}/look", why="complaint 4711")
    world.receiver.answer = lambda _: Answer(503)
    world.enqueue(*(f"CARD_NOT_FOUND-{uuid.uuid4().hex[:12]}" for _ in range(4)))
    world.enqueue(*(f"forever-{uuid.uuid4().hex[:12]}" for _ in range(9)))
    world.fleet.run(
        "worker.cli", "hold", "sg", "--for", "2h", "--why", "maintenance of the vendor", "--who", "ann"
    )
    until(lambda: world.fleet.stats().counts("ph").delivering == 4, "four deliveries wait")


def quarantined(world: World, kind: str) -> list[str]:
    with world.fleet.redis() as redis:
        ids: list[Any] = redis.zrange(f"{prefix('ph')}quarantine", 0, -1)
    return [f"ph/{each.decode()}" for each in ids if each.startswith(kind.encode())]


def spread_over_an_hour(world: World, region: str) -> None:
    """Write the lines of an hour that ends with the figures of now."""
    counts = world.fleet.stats().counts(region)
    weights = [2 + math.sin(minute / 7) + 0.6 * math.sin(minute * 1.9) for minute in range(61)]
    lines = []
    for minute in range(1, 61):
        share = sum(weights[:minute]) / sum(weights)
        took = " ".join(f"{name}={round(count * share)}" for name, count in counts.took.items())
        numbers = (counts.enqueued, counts.polls, sum(counts.decisions.values()), 0)
        told = "|".join(str(round(number * share)) for number in numbers)
        lines.append(f"{counts.read_at_ms - (61 - minute) * 60_000}|{told}|{took}")
    with world.fleet.redis() as redis:
        redis.delete(f"{prefix(region)}minutes")
        redis.rpush(f"{prefix(region)}minutes", *lines)


def draw(tab: Tab, drawing: Page, path: str, files: Mapping[str, Path], higher: int) -> None:
    tab.go(path)
    tab.page.wait_for_load_state("networkidle")
    for end, width, height, scheme in LOOKS:
        tab.look(width, scheme, height + higher)
        # Images are loaded once they come into view.
        time.sleep(0.3)
        files[end].write_bytes(smaller(drawing, tab.page.screenshot()))


_FEWER_COLOURS: Final = """
async ([png, most, apart, grounds]) => {
    const bytes = Uint8Array.from(atob(png), (each) => each.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const { width, height } = bitmap;
    const canvas = new OffscreenCanvas(width, height).getContext("2d");
    canvas.drawImage(bitmap, 0, 0);
    const pixels = new Uint32Array(canvas.getImageData(0, 0, width, height).data.buffer);
    const counts = new Map();
    for (const each of pixels) counts.set(each, (counts.get(each) || 0) + 1);
    const parts = (colour) => [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
    const far = ([x, y, z], [r, g, b]) => (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2;
    const palette = [];
    // The most frequent first; those that are rare and unlike the others are the coloured words.
    for (const [colour] of [...counts].sort((a, b) => b[1] - a[1])) {
        if (palette.length === most) break;
        const own = parts(colour);
        if (palette.length < grounds || palette.every((each) => far(each, own) > apart)) palette.push(own);
    }
    const nearest = new Map();
    const find = (colour) => {
        const own = parts(colour);
        let best = 0, least = Infinity;
        palette.forEach((each, at) => {
            if (far(each, own) < least) [best, least] = [at, far(each, own)];
        });
        return best;
    };
    let indices = "";
    for (const each of pixels) {
        if (!nearest.has(each)) nearest.set(each, find(each));
        indices += String.fromCharCode(nearest.get(each));
    }
    return { width, height, palette, indices: btoa(indices) };
}
"""


def smaller(drawing: Page, png: bytes) -> bytes:
    """The picture with few colours, as PNG with a palette."""
    found: dict[str, Any] = drawing.evaluate(
        _FEWER_COLOURS, [base64.b64encode(png).decode(), COLOURS, APART, GROUNDS]
    )
    width, height = found["width"], found["height"]
    indices = base64.b64decode(found["indices"])
    rows = b"".join(b"\0" + indices[start : start + width] for start in range(0, len(indices), width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = b"".join(bytes(colour) for colour in found["palette"])
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
