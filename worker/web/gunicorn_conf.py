"""Gunicorn's configuration: `gunicorn -c python:worker.web.gunicorn_conf` needs no flags.

Names in lower case are gunicorn's settings; https://gunicorn.org/reference/settings/ explains them. A flag, or
`GUNICORN_CMD_ARGS`, overrides them.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError, LedgerUnavailable
from worker.process import exit_with_error, forbid_core_dumps, refuse_shadows

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.http.message import Request
    from gunicorn.workers.base import Worker

# Gunicorn's child processes inherit this.
forbid_core_dumps()

try:
    # Before the imports that a shadowing module would break.
    refuse_shadows()
    from worker.decisions.endpoints import load as load_endpoints
    from worker.decisions.table import Table
    from worker.settings import current, unread_names
    from worker.web.api.token_file import TokenFile
    from worker.web.console.user_file import UserFile
    from worker.web.console.watermark import check_settings
    from worker.web.slow_heads import has_body, is_buffered

    _settings: Final = current()
    Table.load(_settings.decisions_file, load_endpoints(_settings.endpoints_file, with_secrets=False))
    TokenFile(_settings.api_tokens_file)
    UserFile(_settings.console_users_file)
    check_settings(_settings)
except ConfigError as error:
    exit_with_error(error)

for _line in unread_names():
    print(f"ekyc: warning: {_line}", file=sys.stderr)  # noqa: T201

wsgi_app = "worker.web.wsgi:app"
bind = [_settings.web_bind]

# Shared by gunicorn's processes: not 0 once the first of them has given up waiting for Redis.
_gave_up: Final = mmap.mmap(-1, 1)

# One stateless process is enough. It has threads because a Redis that does not answer blocks a thread for seconds.
# `/healthz` has a thread of its own. No thread waits for a client.
worker_class = "worker.web.slow_heads.SlowHeadsWorker"
threads = 8

logger_class = "worker.web.log.Log"

# Gunicorn's heartbeat files. In memory, a slow disk cannot make a process look dead, and a read-only file system is
# no problem.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - gunicorn names its file

# Gunicorn is controlled by signals only, so no socket file is needed.
control_socket_disable = True


# No header of a request changes its path or scheme: `SCRIPT_NAME` would lead a request for `/v1/metrics`, which a proxy
# forwards, to `/metrics`. By default, gunicorn trusts clients on the loopback with that.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


def pre_request(worker: Worker, req: Request) -> None:
    """Close after a request whose body is not in memory: gunicorn would wait for the rest of it in a thread."""
    if has_body(req.headers) and (worker.cfg.is_ssl or not is_buffered(req.headers)):
        req.force_close()


def post_worker_init(worker: Worker) -> None:
    """Log the first readiness at once: Redis may start later. It runs in a thread because Redis may hang."""
    threading.Thread(target=_look, args=(worker,), name="first look", daemon=True).start()


def on_exit(server: Arbiter) -> None:
    """End with 1, as a worker and Flower do, if Redis never became available."""
    del server
    if _gave_up[0]:
        raise SystemExit(LedgerUnavailable.exit_code)


def _look(worker: Worker) -> None:
    readiness = worker.wsgi.readiness
    try:
        # Only the first worker process waits. A later one replaces another, and an outage must not end it.
        if worker.age == 1:
            readiness.await_redis(_settings.start_wait_s)
    except LedgerUnavailable as error:
        print(f"ekyc: {error}", file=sys.stderr)  # noqa: T201
        _gave_up[0] = 1
        os.kill(worker.ppid, signal.SIGTERM)
    else:
        readiness.look()
