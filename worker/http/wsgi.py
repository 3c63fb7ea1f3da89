"""What gunicorn loads, in each of its workers."""

from __future__ import annotations

from worker.http.face import Face
from worker.settings import current

app = Face(current())
