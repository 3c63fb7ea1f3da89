"""Answers to requests that no application sees, as problems: gunicorn's own are HTML and quote what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.web.api.problems import BUSY, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_bytes(problem: Problem) -> bytes:
    """A whole response that ends its connection."""
    response = problem.response()
    headers: Mapping[str, str] = {**dict(response.headers), "Connection": "close"}
    head = [f"HTTP/1.1 {response.status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join((*head, "", "")).encode("latin-1") + response.get_data()


#: For a body that finds no room.
SERVER_BUSY: Final = as_bytes(
    Problem(BUSY, "send the request again in a second", headers={"Retry-After": "1"})
)
