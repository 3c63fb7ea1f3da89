"""Schemathesis makes requests from the description of the API: a running `web` answers each as it is described."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide, quarantine
from tests.support.paths import ROOT
from tests.support.web_process import ALL, NOTIFIER, secret, web_process
from worker.enqueue_request import REGIONS

if TYPE_CHECKING:
    from pathlib import Path

    from worker.ledger import Ledger

pytestmark = pytest.mark.timeout(1800)

#: For each operation. With the cases that schemathesis derives from the schemas, these are more than `LEAST` in all.
EXAMPLES: Final = 70

LEAST: Final = 2000

#: Where Hypothesis keeps its table of characters, which takes seconds to make.
HYPOTHESIS: Final = str(ROOT / ".hypothesis")

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


def test_no_request_is_answered_otherwise_than_described(
    redis_url: str, ledger: Ledger, tmp_path: Path
) -> None:
    decide(ledger, "done")
    quarantine(ledger, "odd")
    ledger.enqueue([EnqueueRequest("waits", "ph")])
    (tmp_path / "schemathesis.toml").write_text(
        f'[auth.openapi.callbackSecret]\napi_key = "{secret(NOTIFIER)}"\n'
        f'[auth.openapi.bearer]\nbearer = "{secret(ALL)}"\n'
    )
    # All of them: otherwise most requests that are valid by the description are refused for their region.
    with web_process(tmp_path, redis_url, ADVANCE_REGIONS=",".join(REGIONS)) as web:
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "schemathesis.cli",
                    "run",
                    f"http://127.0.0.1:{web.port}/openapi.json",
                ),
                *("--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--no-color"),
                *("--generation-database", "none"),
            ],
            cwd=tmp_path,
            env={"PATH": os.defpath, "HOME": str(tmp_path), "HYPOTHESIS_STORAGE_DIRECTORY": HYPOTHESIS},
            capture_output=True,
            text=True,
            check=False,
            timeout=1700,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert not web.lines("api_failed")
        cases = re.search(r"([\d,]+) generated, ([\d,]+) passed", done.stdout)
        assert cases is not None, done.stdout[-8000:]
        generated, passed = (int(number.replace(",", "")) for number in cases.groups())
        assert generated == passed >= LEAST
        # What it sends without a token, or with another method, is among them.
        statuses = Counter(line["status"] for line in web.lines("api_request"))
        assert {200, 202, 400, 401, 404, 405, 415, 422} <= statuses.keys(), statuses
