"""The vendor's stand-in of the benchmark: nginx with Lua, a child that is faster than all who ask it."""

from __future__ import annotations

import json
import random
import re
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode
from urllib.request import urlopen

from benchmarks.bench.failure import BenchFailed, Missing
from benchmarks.bench.profile import IMAGE_BYTES
from sandbox import answers
from sandbox.grammar import parse
from sandbox.scenario import Pending, Settled
from sandbox.state import Given

if TYPE_CHECKING:
    from benchmarks.bench.profile import Profile
    from sandbox.demo.processes import Processes

INSTALL: Final = "the benchmark needs nginx with Lua; on Debian: apt-get install nginx libnginx-mod-http-lua"

ACCESS_KEY: Final = "sampleaccesskey"
SECRET_KEY: Final = "samplesecretkey"  # the vendor's own example

_MODULES: Final = ("ndk_http_module.so", "ngx_http_lua_module.so")
_START_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Calls:
    """How often the vendor was asked, by kind."""

    token: int
    get_result: int
    image: int

    def since(self, before: Calls) -> Calls:
        return Calls(
            self.token - before.token, self.get_result - before.get_result, self.image - before.image
        )


class Vendor:
    """A running stand-in."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    def play(self, profile: Profile) -> None:
        """Answer as `profile` says from now on."""
        wanted = {name: getattr(profile, name) for name in ("nulls", "get_result_s", "image_s")}
        self._ask(f"profile?{urlencode(wanted)}")

    def is_ready(self, signature_id: str) -> None:
        """There is a result for this id (`told-…`) from now on."""
        self._ask(f"ready?{urlencode({'id': signature_id})}")

    def calls(self) -> Calls:
        return Calls(**json.loads(self._ask("calls")))

    def _ask(self, what: str) -> bytes:
        with urlopen(f"{self.url}/bench/{what}", timeout=10) as response:
            body: bytes = response.read()
        return body


def modules() -> Path:
    """Where nginx has its modules. Raises ``Missing`` where it, or its Lua, is not installed."""
    server = nginx()
    told = subprocess.run([server, "-V"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"--modules-path=(\S+)", told)
    folder = Path(found[1]) if found else Path("/usr/lib/nginx/modules")
    if not all((folder / name).exists() for name in _MODULES):
        raise Missing(INSTALL)
    return folder


def nginx() -> str:
    # Debian keeps it where an ordinary account's PATH does not look.
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(INSTALL)
    return found


def start(processes: Processes, root: Path, port: int) -> Vendor:
    """Start nginx with everything it writes below `root`. Raises ``BenchFailed``."""
    folder = root / "vendor"
    folder.mkdir()
    url = f"http://127.0.0.1:{port}"
    for name, body in _bodies(url).items():
        (folder / name).write_bytes(body)
    settings = {
        "MODULES": modules(),
        "FOLDER": folder,
        "PORT": port,
        "TOKEN": secrets.token_hex(16),
    }
    text = (Path(__file__).parent / "vendor.conf").read_text()
    for name, value in settings.items():
        text = text.replace(f"@{name}@", str(value))
    (folder / "nginx.conf").write_text(text)
    process = processes.start("vendor", [nginx(), "-p", folder, "-c", "nginx.conf", "-e", "error.log"])
    vendor = Vendor(url, process.pid)
    give_up_at = time.monotonic() + _START_S
    while time.monotonic() < give_up_at and process.popen.poll() is None:
        try:
            vendor.calls()
        except OSError:
            time.sleep(0.02)
        else:
            return vendor
    raise BenchFailed(str(process.failure("did not start")))


def _bodies(url: str) -> dict[str, bytes]:
    """What it answers, as the sandbox would; `@ID@` stands for the id."""
    links = {side: f"{url}/images/@ID@/{side}.jpg" for side in ("front", "back")}
    asked_at_ms = round(time.time() * 1000)
    scenario = parse("pass-1")
    # The user is done: from here on the vendor is waited for, and nobody else.
    waiting, done = Pending(submission_completed=True), Settled()
    return {
        "pending.json": answers.pending(Given(scenario, waiting, 0, asked_at_ms), waiting, {}).body,
        "settled.json": answers.settled(Given(scenario, done, 0, asked_at_ms), "@ID@", links).body,
        "refused.json": answers.envelope("ACCESS_DENIED"),
        "image.jpg": _image(),
    }


def _image() -> bytes:
    """What looks like a JPEG from outside, and does not compress."""
    head, tail = bytes.fromhex("ffd8ffe000104a46494600010100000100010000"), b"\xff\xd9"
    return head + random.Random(0).randbytes(IMAGE_BYTES - len(head) - len(tail)) + tail
