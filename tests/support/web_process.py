"""A real process of `web` with tokens for its HTTP API, and a client that speaks to it over a socket."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.fork_server import server
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until
from worker.policy.api_tokens import SCOPES, Token, entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.fork_server import Forked

#: The tokens of `tokens_text`, by name. Each is its own secret.
ALL: Final = "all"
READER: Final = "reader"
WRITER: Final = "writer"
NOTIFIER: Final = "notifier"
EXPIRED: Final = "expired"
SLOW: Final = "slow"
#: It belongs to the pipeline `shop`.
SHOP: Final = "shop"


def secret(name: str) -> str:
    """The token of a name."""
    return f"secret-of-{name}"


def token(
    name: str,
    *scopes: str,
    rate: float = 1e5,
    expires: datetime | None = None,
    pipeline: str | None = None,
) -> Token:
    digest = hashlib.sha256(secret(name).encode()).digest()
    return Token(name, frozenset(scopes), digest, pipeline, expires, rate)


def tokens_text() -> str:
    return "\n\n".join(
        map(
            entry,
            (
                token(ALL, *SCOPES),
                token(READER, "read"),
                token(WRITER, "enqueue"),
                token(NOTIFIER, "notify"),
                token(EXPIRED, *SCOPES, expires=datetime(2020, 1, 1, tzinfo=UTC)),
                token(SLOW, "read", "notify", rate=0.3),
                token(SHOP, "enqueue", pipeline="shop"),
            ),
        )
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. The names of `headers` are in small letters."""

    status: int
    headers: Mapping[str, str]
    raw: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Web:
    """A running `web`."""

    port: int
    process: Forked
    log_path: Path
    tokens_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of an event."""
        rows = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [row for row in rows if row.get("event") == event]

    def send(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        name: str | None = ALL,
        **headers: str,
    ) -> Answer:
        """One request on a connection of its own. `name`: of the token; None: without one."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if name is not None:
            sent.setdefault("Authorization", f"Bearer {secret(name)}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            found = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.send("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        """`body` is sent as JSON unless it is text or bytes already."""
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
        return self.send("POST", path, body, **options)


@contextmanager
def web_process(folder: Path, redis_url: str, **environment: str) -> Iterator[Web]:
    """A `web` for the regions `ph` and `sg`. Nothing of it is left running."""
    port, log_path, tokens_path = free_port(), folder / "web.log", folder / "tokens.toml"
    tokens_path.write_text(tokens_text())
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    given = {name: os.environ[name] for name in keep if name in os.environ}
    given |= {
        "REDIS_URL": redis_url,
        "ADVANCE_REGIONS": "ph,sg",
        "EKYC_WEB_BIND": f"127.0.0.1:{port}",
        "EKYC_API_TOKENS_FILE": str(tokens_path),
    }
    given |= environment
    with log_path.open("wb") as log, Path(os.devnull).open("rb") as nothing:
        process = server(given).start(
            "gunicorn",
            ["-c", "python:worker.web.gunicorn_conf"],
            environment=given,
            cwd=str(ROOT),
            descriptors=(nothing.fileno(), log.fileno(), log.fileno()),
            new_session=True,
        )
    web = Web(port, process, log_path, tokens_path)
    try:
        until(lambda: _lives(web) or process.poll() is not None, "web answers")
        assert process.poll() is None, web.log
        yield web
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _lives(web: Web) -> bool:
    try:
        return web.get("/healthz", name=None).status == 200
    except OSError:
        return False
