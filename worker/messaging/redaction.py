"""Redaction of external messages and of errors in Flower, `inspect` and logs: no text of others is shown."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from celery import Task as _CelerysTask
from celery.exceptions import InvalidTaskError, Reject, TaskPredicate
from celery.worker import request
from redis.exceptions import RedisError

from schemas.enqueue import load_enqueue
from schemas.errors import SchemaError
from worker.errors import EkycError
from worker.server_faults import described

if TYPE_CHECKING:
    from logging import LogRecord

#: Arguments that may be `null`, and their default.
_ABSENT: Final = {"args": list, "kwargs": dict}

#: Headers that may be an empty text.
_MOMENTS: Final = ("eta", "expires")

#: The body of protocol 2: arguments, keyword arguments, and embedded options.
_PARTS: Final = 3

_SENDER: Final = re.compile(r"[A-Za-z0-9_.@-]{1,200}")

#: Its stubs are incomplete.
_TASK: Any = _CelerysTask


class Discreet(request.Request):
    """A request for `tasks.enqueue`. Its description shows the id; the sender's would show the whole context."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **_completed(message, options))
        try:
            request_line = _request_line(self.args, self.kwargs)
        except Exception:  # noqa: BLE001 - any body may only end this message, not the worker
            raise InvalidTaskError("the body is not that of a task") from None
        # The column of Flower's page of tasks, as in `worker.messaging.publish.described`.
        self._argsrepr, self._kwargsrepr = request_line, ""
        self.request_dict.update(argsrepr=self._argsrepr, kwargsrepr=self._kwargsrepr)

    def info(self, safe: bool = False) -> Any:  # noqa: FBT001, FBT002 - as in celery
        del safe
        return super().info(safe=True)


def fill_absent(message: Any) -> None:
    """Replace `null` arguments in a message of protocol 1 by empty ones: Celery would refuse them.

    Leaves a message that cannot be decoded unchanged; Celery refuses it afterwards.
    """
    with suppress(Exception):
        payload = message.payload
        if isinstance(payload, dict):
            payload |= {name: empty() for name, empty in _ABSENT.items() if payload.get(name, empty) is None}


def sender(origin: Any) -> str | None:
    """Return the sender that a message names, process and host as `gen123@host`; None if it has another form."""
    return origin if isinstance(origin, str) and _SENDER.fullmatch(origin) else None


def _completed(message: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a request, with the empty values of clients in other languages read as absent."""
    headers = dict(options.get("headers") or message.headers)
    headers |= {name: None for name in _MOMENTS if headers.get(name) == ""}
    payload = options.get("body") if options.get("decoded") else message.payload
    if isinstance(payload, list | tuple) and len(payload) == _PARTS:
        args, kwargs, embedded = payload
        embedded = {} if embedded is None else embedded
        if not isinstance(embedded, dict) or not all(map(_can_be_embedded, embedded.values())):
            # Celery detects this only after the task, and then does not acknowledge the message.
            raise InvalidTaskError("the embedded tasks cannot be read")
        body = ([] if args is None else args, {} if kwargs is None else kwargs, embedded)
        options |= {"body": body, "decoded": True}
    return options | {"headers": headers}


def _can_be_embedded(follows: Any) -> bool:
    """Whether the value can be one embedded task, or several."""
    tasks = follows if isinstance(follows, list) else [follows]
    return all(task is None or isinstance(task, dict) for task in tasks)


class Task(_TASK):  # type: ignore[misc]
    """A task of ours: errors of other packages leave it with type and traceback, but without their text.

    Celery logs errors and sends them to Flower. Their text may quote data of a person.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except (EkycError, TaskPredicate):
            raise
        except Exception as error:  # noqa: BLE001 - any error
            redacted = _redacted(error).with_traceback(error.__traceback__)
        raise redacted


class Wordless(Exception):
    """Replaces an error of Redis, or of a class that needs arguments. Its text names the class."""


def _redacted(error: Exception) -> Exception:
    """Return an error of the same class, without its arguments."""
    kind = type(error)
    if isinstance(error, RedisError):
        # The name alone, such as `OutOfMemoryError`, would read as a fault of this process.
        return Wordless(described(error))
    with suppress(Exception):
        bare = kind.__new__(kind)
        str(bare)
        return bare
    return Wordless(f"{kind.__module__}.{kind.__qualname__}")


def without_traceback(record: LogRecord) -> bool:
    """A filter for Celery's log: an expected error, such as an unavailable ledger, is logged without its traceback."""
    if record.exc_info and isinstance(record.exc_info[1], (Reject, EkycError)):
        record.exc_info = None
    return True


def _request_line(args: Any, kwargs: Any) -> str:
    """Return the description of a request. Raises any error if these are not the arguments of a task."""
    given = dict(zip(("signature_id", "region", "context", "pipeline"), args, strict=False)) | kwargs
    try:
        accepted = load_enqueue(given)
    except SchemaError as error:
        return f"refused: {error}"
    return f"{accepted.region} · {accepted.signature_id}"
