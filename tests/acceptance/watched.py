"""Flower in front of a fleet, and who looks at it: a script, or a browser."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.browser import QUIET, program
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.fleet import Fleet, Process

PASSWORD = "tester:open-sesame"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 where nobody listens."""

    status: int
    text: str


@dataclass(slots=True)
class Flower:
    """One that runs."""

    process: Process
    port: int
    log: Path

    def ask(self, path: str, password: str | None = PASSWORD, method: str = "GET") -> Answer:
        return ask(f"http://127.0.0.1:{self.port}{path}", password, method)

    def page(self, path: str) -> str:
        """An address for a browser."""
        return f"http://{PASSWORD}@127.0.0.1:{self.port}{path}"


def ask(url: str, password: str | None = None, method: str = "GET") -> Answer:
    headers = {"Authorization": f"Basic {b64encode(password.encode()).decode()}"} if password else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers, method=method), timeout=10
        ) as response:
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        with closing(error):
            return Answer(error.code, error.read().decode())
    except OSError:
        return Answer(0, "")


def flower(fleet: Fleet, name: str = "flower", **environment: str) -> Flower:
    """Started as a user would; it answers. Its state lies in `state/<name>` of the fleet's folder."""
    port = free_port()
    environment.setdefault("FLOWER_DB", str(fleet.folder / "state" / name))
    if "FLOWER_BASIC_AUTH_FILE" not in environment:
        environment["FLOWER_BASIC_AUTH"] = PASSWORD
    process = fleet.start("celery", "-A", "worker", "flower", name=name, PORT=str(port), **environment)
    started = Flower(process, port, fleet.folder / f"{name}.log")
    until(lambda: started.ask("/healthcheck").status or process.poll() is not None, "Flower answers")
    assert process.poll() is None, fleet.log(name)
    return started


#: Flower's pages ask for their rows after they have been loaded: milliseconds of the page's own clock.
_PAGE_TIME_MS = 3000


@dataclass(frozen=True, slots=True)
class Browser:
    """Debian's Chromium, without a window."""

    program: str
    profile: Path

    @classmethod
    def found(cls, profile: Path) -> Browser:
        """Skips the test where there is none."""
        return cls(program(), profile)

    def read(self, url: str) -> str:
        """The page as its scripts have made it, as HTML."""
        return self._run("--dump-dom", url)

    def draw(self, url: str, file: Path, width: int, height: int) -> None:
        """A picture of the page, as PNG."""
        self._run(f"--screenshot={file}", f"--window-size={width},{height}", url)

    def _run(self, *arguments: str) -> str:
        own = (f"--user-data-dir={self.profile}", f"--virtual-time-budget={_PAGE_TIME_MS}")
        return subprocess.run(
            [self.program, "--headless", *QUIET, *own, *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        ).stdout
