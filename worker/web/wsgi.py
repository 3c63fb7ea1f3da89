"""The module that gunicorn loads in each of its workers."""

from __future__ import annotations

from worker.settings import current
from worker.web.app import App

app = App(current())
