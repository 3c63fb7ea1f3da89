"""What the packaged configuration file of Flower sets."""

from __future__ import annotations

import runpy
from typing import Any

from tornado.options import options

from worker.runtime.flower import DEFAULTS_FILE


def flower_defaults() -> dict[str, Any]:
    """Each option of Flower's in the file, with its value; but the port, which follows `PORT`."""
    found = runpy.run_path(str(DEFAULTS_FILE))
    return {name: value for name, value in found.items() if name in options and name != "port"}
