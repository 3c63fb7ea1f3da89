"""A cheap health check, for containers without a shell:

    python3 -I -S healthy.py /tmp/alive 60
    python3 -I -S healthy.py http://127.0.0.1:8000/healthz

The file must have been touched in the last 60 seconds, as a worker does while its loop runs; the page must answer with
status 200. Exit code 0 if so; else 1, and one line with the reason. It imports none of our packages, so it takes about
ten milliseconds; `celery inspect ping` takes half a second of a core, and a message to every worker.
"""

from __future__ import annotations

import os
import sys
import time

#: Probes give up after 5 s.
TIMEOUT_S = 4.0


def file_fault(path: str, longest_s: float) -> str | None:
    """Return why a file was not touched in the last `longest_s`; None if it was."""
    try:
        age_s = time.time() - os.stat(path).st_mtime  # noqa: PTH116 - importing pathlib takes longer than all of this
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"{path} was touched {age_s:.0f} s ago" if age_s >= longest_s else None


def page_fault(url: str) -> str | None:
    """Return why a page does not answer with status 200; None if it does."""
    import socket  # noqa: PLC0415 - the probe of a file, which runs in more containers, does not need it

    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
            connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            status = connection.makefile("rb").readline(200).decode("latin-1").strip()
    except OSError as error:
        return f"{url}: {error.strerror or error}"
    return None if " 200 " in f"{status} " else f"{url}: {status or 'no answer'}"


if __name__ == "__main__":
    what, *longest = sys.argv[1:]
    sys.exit(file_fault(what, float(*longest)) if longest else page_fault(what))
