"""Images that are fetched at once take no more memory than they may, however many and large they are."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

from tests.support.image_host import JPEG, ImageHost
from worker.http_client import MIB

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

#: Verifications that are archived at once, the size of the image of each, and what all may take, in MiB.
MANY, IMAGE, BUDGET = 12, 16, 40

#: Prints by how much the process grew at most, in MiB, and how many archives are complete.
CHILD = """
    import json, resource, sys
    from worker.concurrency.executor import EventLoop, Executor
    from worker.evidence.admission import Admissions
    from worker.evidence.archive import archive
    from worker.evidence.images import Images
    from worker.evidence.store import Evidence

    root, origin, many, budget = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    evidence = Evidence(root)
    images = Images((origin,), Admissions(["ph"], total_bytes=budget * 1024 * 1024))

    def each(name):
        found = archive(evidence.of("ph", name), images, refresh=lambda: None)
        while found.pending:
            found = archive(evidence.of("ph", name), images, refresh=lambda: None)
        return found.complete

    for name in (names := [f"v-{number}" for number in range(many)]):
        document = {"docFrontImage": f"{origin}/front"}
        data = {"signatureId": name, "overallResult": "PASS", "errorCode": "SUCCESS", "docDetail": document}
        evidence.of("ph", name).keep_answer(json.dumps({"code": "SUCCESS", "data": data}).encode())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work, complete = Executor(256, EventLoop()).begin(each, names), 0
    while work.pending:
        complete += sum(done for _, done in work.outcomes(timeout_s=60, gather_s=lambda: 0.1))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([grown, complete]))
"""


def slowly(request: BaseHTTPRequestHandler) -> None:
    """All but the last byte of an image, and that one a second later: they are in flight together if they may."""
    body = JPEG.ljust(IMAGE * MIB, b"\0")
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[:-1])
    time.sleep(1)
    request.wfile.write(body[-1:])


def test_many_large_images_at_once_take_no_more_than_they_may(tmp_path: Path) -> None:
    with ImageHost().running() as host:
        host.says["/front"] = slowly
        root = (tmp_path / "evidence").as_uri()
        child = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CHILD), root, host.origin, str(MANY), str(BUDGET)],
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert child.returncode == 0, child.stderr
    grown_mib, complete = json.loads(child.stdout.splitlines()[-1])
    print(f"{MANY} images of {IMAGE} MiB: the process grew by {grown_mib:.0f} MiB")  # noqa: T201
    assert complete == MANY
    assert grown_mib < 2 * BUDGET < MANY * IMAGE / 2
