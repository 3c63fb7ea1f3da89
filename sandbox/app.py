"""Every path of the sandbox: the vendor's own paths, the images, and `/sandbox/…` for tests."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sandbox import answers
from sandbox.catalogue import catalogue
from sandbox.faults import Faults
from sandbox.reply import Reply
from sandbox.stats import Stats
from sandbox.vendor import CLEAR_PATH, IMAGE_PATH, RESULT_PATH, TOKEN_PATH

if TYPE_CHECKING:
    from sandbox.request import Request
    from sandbox.vendor import Vendor


@dataclass(frozen=True, slots=True)
class Exchange:
    """The answer to a request. `call` is `token`, `result`, `image` or `clear`, and empty for all other requests."""

    reply: Reply
    call: str = ""
    signature_id: str = ""


class App:
    """Routes requests, and counts the answers."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.stats = Stats()
        self._admin: Final = {
            ("GET", "/sandbox/verifications"): self._verifications,
            ("GET", "/sandbox/stats"): self._stats,
            ("GET", "/sandbox/scenarios"): self._scenarios,
            ("POST", "/sandbox/faults"): self._faults,
        }

    def answer(self, request: Request) -> Exchange:
        exchange = self._vendor(request) or self._other(request)
        if exchange.call:
            self.stats.answered(exchange.call, exchange.reply.name)
        return exchange

    def totals(self) -> dict[str, Any]:
        """Return the body of `GET /sandbox/stats`."""
        return {
            "tokens_issued": self.vendor.tokens.issued,
            **self.stats.totals(),
            "callbacks": self.vendor.callbacks.totals(),
        }

    def _vendor(self, request: Request) -> Exchange | None:
        if request.method == "POST" and request.path == RESULT_PATH:
            with self.stats.ask():
                signature_id, reply = self.vendor.result(request)
            return Exchange(reply, "result", signature_id)
        if request.method == "POST" and request.path == TOKEN_PATH:
            return Exchange(self.vendor.token(request), "token")
        if request.method == "POST" and request.path == CLEAR_PATH:
            signature_id, reply = self.vendor.clear(request)
            return Exchange(reply, "clear", signature_id)
        if request.method == "GET" and (found := IMAGE_PATH.fullmatch(request.path)):
            return Exchange(self.vendor.image(request, found[1], found[2]), "image", found[1])
        return None

    def _other(self, request: Request) -> Exchange:
        respond = self._admin.get((request.method, request.path))
        if respond:
            return Exchange(respond(request))
        return Exchange(answers.page(404, "Not Found", name="http404"))

    def _verifications(self, _: Request) -> Reply:
        return _json(self.vendor.state.verifications())

    def _stats(self, _: Request) -> Reply:
        return _json(self.totals())

    def _scenarios(self, _: Request) -> Reply:
        return _json([asdict(entry) for entry in catalogue()])

    def _faults(self, request: Request) -> Reply:
        try:
            faults = Faults.load(request.fields())
        except ValueError as error:
            return _json({"error": str(error)}, status=400)
        self.vendor.faults = faults
        return _json(asdict(faults))


def _json(content: Any, *, status: int = 200) -> Reply:
    return Reply("sandbox", json.dumps(content).encode(), status)
