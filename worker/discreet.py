"""How messages from outside look in Flower and in logs: never as their sender describes them."""

from __future__ import annotations

from typing import Any

from celery.worker import request

from schemas.enqueue import load_enqueue
from schemas.errors import SchemaError


class Discreet(request.Request):
    """A request for `tasks.enqueue`. Its sender put the whole context into the description; here it is an id."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        self._argsrepr = ""
        self._kwargsrepr = _described(self.args, self.kwargs)
        self.request_dict.update(argsrepr=self._argsrepr, kwargsrepr=self._kwargsrepr)


def _described(args: Any, kwargs: Any) -> str:
    try:
        accepted = load_enqueue(dict(zip(("signature_id", "region", "context"), args, strict=False)) | kwargs)
    except SchemaError as error:
        return f"refused: {error}"
    except (TypeError, ValueError):
        return "refused: not the arguments of a task"
    return f"{accepted.region} · {accepted.signature_id}"
