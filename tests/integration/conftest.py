"""What several files of this folder run their part against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.certificates import self_signed, server_side
from tests.support.cli_process import Ekyc
from tests.support.image_host import ImageHost

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ekyc(redis_url: str) -> Ekyc:
    """The command, for two regions on an empty Redis."""
    return Ekyc({"REDIS_URL": redis_url, "ADVANCE_REGIONS": "ph,sg"})


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
