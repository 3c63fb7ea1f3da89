"""Evidence in a container of Azure, as the emulator Azurite answers it. Needs `azurite-blob` (npm install azurite)."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import urllib.request
from base64 import b64decode, b64encode
from contextlib import closing
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from tests.support.ports import free_port
from tests.support.waiting import until
from worker.errors import EvidenceConflict, EvidenceUnavailable
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

AZURITE = shutil.which("azurite-blob")

pytestmark = pytest.mark.skipif(AZURITE is None, reason="azurite-blob is not installed: npm install azurite")

#: The account that every Azurite has, as its manual says.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

REGION, ID = "ph", "f302f5d2454a85c2"


def is_open(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def make_container(endpoint: str, name: str) -> None:
    version, date = "2021-08-06", formatdate(usegmt=True)
    resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    to_sign = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    signature = b64encode(hmac.new(b64decode(KEY), to_sign.encode(), hashlib.sha256).digest()).decode()
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {ACCOUNT}:{signature}",
        "Content-Length": "0",
    }
    request = urllib.request.Request(f"{endpoint}/{name}?restype=container", method="PUT", headers=headers)
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> Iterator[Evidence]:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    options = ("--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry")
    command = [str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), *options]
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", endpoint)
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(lambda: is_open(port), "Azurite listens")
        make_container(endpoint, "evidence")
        yield Evidence("az://evidence/ekyc")
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_conditional_writes_are_proved_and_evidence_is_written_once(evidence: Evidence) -> None:
    evidence.check()
    one = evidence.of(REGION, ID)
    assert one.answer() is None
    assert one.keep_answer(b"first") == b"first"
    assert one.keep_answer(b"second") == b"first"
    one.keep("front.jpg", b"image")
    with pytest.raises(EvidenceConflict):
        one.keep("front.jpg", b"another image")
    assert [file.name for file in one.files()] == ["answer.json", "front.jpg"]


def test_a_container_that_does_not_exist_is_one_line(evidence: Evidence) -> None:
    assert evidence
    with pytest.raises(EvidenceUnavailable, match="there is no such bucket") as caught:
        Evidence("az://nowhere/ekyc").of(REGION, ID).answer()
    assert "\n" not in str(caught.value)
