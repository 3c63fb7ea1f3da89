"""How messages from outside look in Flower, in `inspect` and in logs: never as their sender describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.exceptions import InvalidTaskError, Reject
from celery.worker import request

from schemas.enqueue import load_enqueue
from schemas.errors import SchemaError

if TYPE_CHECKING:
    from logging import LogRecord


class Discreet(request.Request):
    """A request for `tasks.enqueue`. Its sender put the whole context into the description; here it is an id."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        try:
            described = _described(self.args, self.kwargs)
        except Exception:  # noqa: BLE001 - whatever is in a body: it ends this message, and not the worker
            raise InvalidTaskError("the body is not that of a task") from None
        # Where Flower's page of tasks has its column, as with `worker.messages.described`.
        self._argsrepr, self._kwargsrepr = described, ""
        self.request_dict.update(argsrepr=self._argsrepr, kwargsrepr=self._kwargsrepr)

    def info(self, safe: bool = False) -> Any:  # noqa: FBT001, FBT002 - as in celery
        del safe
        return super().info(safe=True)


def without_traceback(record: LogRecord) -> bool:
    """A filter for Celery's log: a message that goes back to its queue is a line there, as one that was refused is."""
    if record.exc_info and isinstance(record.exc_info[1], Reject):
        record.exc_info = None
    return True


def _described(args: Any, kwargs: Any) -> str:
    """Raises whatever it likes where these are not the arguments of a task."""
    given = dict(zip(("signature_id", "region", "context"), args, strict=False)) | kwargs
    try:
        accepted = load_enqueue(given)
    except SchemaError as error:
        return f"refused: {error}"
    return f"{accepted.region} · {accepted.signature_id}"
