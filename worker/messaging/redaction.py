"""How messages from outside, and errors, look in Flower, in `inspect` and in logs: never in the words of others."""

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

#: Arguments that may be `null`, and what they are then.
_ABSENT: Final = {"args": list, "kwargs": dict}

#: Headers that may be an empty text.
_MOMENTS: Final = ("eta", "expires")

#: The body of protocol 2: arguments, keyword arguments, and what Celery embeds.
_PARTS: Final = 3

_SENDER: Final = re.compile(r"[A-Za-z0-9_.@-]{1,200}")

#: What is known of its types is less than there is.
_TASK: Any = _CelerysTask


class Discreet(request.Request):
    """A request for `tasks.enqueue`. Its sender put the whole context into the description; here it is an id."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **_completed(message, options))
        try:
            request_line = _request_line(self.args, self.kwargs)
        except Exception:  # noqa: BLE001 - whatever is in a body: it ends this message, and not the worker
            raise InvalidTaskError("the body is not that of a task") from None
        # Where Flower's page of tasks has its column, as with `worker.messaging.publish.described`.
        self._argsrepr, self._kwargsrepr = request_line, ""
        self.request_dict.update(argsrepr=self._argsrepr, kwargsrepr=self._kwargsrepr)

    def info(self, safe: bool = False) -> Any:  # noqa: FBT001, FBT002 - as in celery
        del safe
        return super().info(safe=True)


def fill_absent(message: Any) -> None:
    """Give a message of protocol 1 the arguments that its sender left `null`: Celery takes them for a fault.

    What cannot be decoded stays as it is; Celery refuses it a moment later.
    """
    with suppress(Exception):
        payload = message.payload
        if isinstance(payload, dict):
            payload |= {name: empty() for name, empty in _ABSENT.items() if payload.get(name, empty) is None}


def sender(origin: Any) -> str | None:
    """The process and host that a message says it comes from, `gen123@host`, if it looks like one."""
    return origin if isinstance(origin, str) and _SENDER.fullmatch(origin) else None


def _completed(message: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a request, with what clients in other languages write for nothing read as absent."""
    headers = dict(options.get("headers") or message.headers)
    headers |= {name: None for name in _MOMENTS if headers.get(name) == ""}
    payload = options.get("body") if options.get("decoded") else message.payload
    if isinstance(payload, list | tuple) and len(payload) == _PARTS:
        args, kwargs, embedded = payload
        embedded = {} if embedded is None else embedded
        if not isinstance(embedded, dict) or not all(map(_can_be_embedded, embedded.values())):
            # Celery finds out only after the task, and then does not acknowledge the message.
            raise InvalidTaskError("what follows the task cannot be read")
        body = ([] if args is None else args, {} if kwargs is None else kwargs, embedded)
        options |= {"body": body, "decoded": True}
    return options | {"headers": headers}


def _can_be_embedded(follows: Any) -> bool:
    """Whether it can be one task that follows, or several."""
    several = follows if isinstance(follows, list) else [follows]
    return all(one is None or isinstance(one, dict) for one in several)


class Task(_TASK):  # type: ignore[misc]
    """A task of ours: what others raise leaves it with its type and place, and without its words.

    Celery logs them, and tells Flower. They may quote what was being worked on, and that may be a person.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except (EkycError, TaskPredicate):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is
            wordless = _wordless(error).with_traceback(error.__traceback__)
        raise wordless


class Wordless(Exception):
    """Stands for an error of a kind that cannot be made of nothing, or of Redis; its text says which."""


def _wordless(error: Exception) -> Exception:
    """An error of the same kind, without its arguments."""
    kind = type(error)
    if isinstance(error, RedisError):
        # Its name alone, such as `OutOfMemoryError`, would read as a fault of this process.
        return Wordless(described(error))
    with suppress(Exception):
        bare = kind.__new__(kind)
        str(bare)
        return bare
    return Wordless(f"{kind.__module__}.{kind.__qualname__}")


def without_traceback(record: LogRecord) -> bool:
    """A filter for Celery's log: what is foreseen, as a ledger that is away or a message that goes back, is a line."""
    if record.exc_info and isinstance(record.exc_info[1], (Reject, EkycError)):
        record.exc_info = None
    return True


def _request_line(args: Any, kwargs: Any) -> str:
    """Raises whatever it likes where these are not the arguments of a task."""
    given = dict(zip(("signature_id", "region", "context"), args, strict=False)) | kwargs
    try:
        accepted = load_enqueue(given)
    except SchemaError as error:
        return f"refused: {error}"
    return f"{accepted.region} · {accepted.signature_id}"
