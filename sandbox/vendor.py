"""The vendor's four calls: a token, a result, an image, archive or video, and the deletion of its data."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Final

from sandbox import answers, images, products
from sandbox.callbacks import COMPLETED, SUBMIT_COMPLETED
from sandbox.faults import Faults, draw
from sandbox.links import FILES, Verdict
from sandbox.reply import Reply
from sandbox.scenario import Fault, Kind, Links, Pending
from sandbox.state import Clearance
from sandbox.tokens import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.callbacks import Callbacks
    from sandbox.documents import Urls
    from sandbox.links import LinkSigner
    from sandbox.request import Request
    from sandbox.state import Given, State
    from sandbox.tokens import Tokens

TOKEN_PATH: Final = "/openapi/auth/ticket/v1/generate-token"  # noqa: S105 - a path
RESULT_PATH: Final = "/intl/openapi/identity-risk/idvs-h5/ekyc/v1/get-result"
CLEAR_PATH: Final = "/intl/openapi/identity-risk/idvs-h5/ekyc/v1/clear-data"
IMAGE_PATH: Final = re.compile(rf"/images/([A-Za-z0-9_-]{{1,64}})/({'|'.join(FILES)})\.(?:jpg|zip|mp4)")

_SIGNATURE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: The id whose image is the target of a redirect, and whose result `wrongid` returns.
_ANOTHER: Final = "pass-another"

#: The metadata service of a cloud, which has secrets: a client must never connect to it.
_PRIVATE: Final = "http://169.254.169.254/latest/meta-data"


class Vendor:
    """Answers as the vendor would.

    Parameters:
      pause: waits for the given seconds, or less if the server is stopping.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        state: State,
        tokens: Tokens,
        links: LinkSigner,
        callbacks: Callbacks,
        *,
        seed: int,
        pause: Callable[[float], object],
    ) -> None:
        self.state = state
        self.callbacks = callbacks
        self.tokens = tokens
        #: The faults of the whole vendor; may be replaced at any time.
        self.faults = Faults()
        self._links = links
        self._seed = seed
        self._pause = pause
        self._token_calls = count()
        self._clear_calls = count()

    def token(self, request: Request) -> Reply:
        """Generate Token."""
        struck = self.faults.strike(draw(self._seed, "token", next(self._token_calls)), token_call=True)
        if struck:
            return answers.fault(struck, answers.envelope("SUCCESS"))
        try:
            data = self.tokens.generate(request.fields())
        except TokenRefused as refusal:
            return answers.refused(refusal.code, message=str(refusal))
        except ValueError:
            return answers.refused("CLIENT_ERROR")
        return Reply("SUCCESS", answers.envelope("SUCCESS", data))

    def result(self, request: Request) -> tuple[str, Reply]:
        """Get Result. Return the id in the request, empty if there is none, and the answer."""
        try:
            asked = request.fields().get("signatureId")
        except ValueError:
            return "", self._unreadable(request, "CLIENT_ERROR")
        if not isinstance(asked, str) or not asked:
            return "", self._unreadable(request, "EMPTY_PARAMETER_ERROR")
        if not _SIGNATURE_ID.fullmatch(asked):
            return "", self._unreadable(request, "SIGNATURE_NOT_EXIST")
        before, late_s = self.state.ask(asked)
        if struck := self.faults.strike(draw(self._seed, asked, before)):
            return asked, answers.fault(struck, answers.envelope("SUCCESS"))
        token = request.header("X-ACCESS-TOKEN")
        if not self.tokens.valid(token) or self.state.is_cleared(asked):
            return asked, answers.refused(
                "SIGNATURE_NOT_EXIST" if self.tokens.valid(token) else "ACCESS_DENIED"
            )
        if late_s:
            self._pause(late_s)
        given = self.state.give(asked)
        if given.ready_in_s is not None:
            self.callbacks.expect(asked, given.scenario, COMPLETED, given.ready_in_s)
        if before == 0 and given.scenario.submitted_s is not None:
            self.callbacks.expect(asked, given.scenario, SUBMIT_COMPLETED, given.scenario.submitted_s)
        if isinstance(given.step, Fault) and given.step.kind is Kind.TOKEN_EXPIRED:
            self.tokens.revoke(token)
        return asked, self._answer(given, asked, request.origin)

    def clear(self, request: Request) -> tuple[str, Reply]:
        """Clear Data. Return the id, which is in the query although it is a POST, or "", and the answer."""
        asked = request.parameters().get("signatureId", "")
        if struck := self.faults.strike(draw(self._seed, "clear", next(self._clear_calls))):
            return asked, answers.fault(struck, answers.envelope("SUCCESS"))
        if not self.tokens.valid(request.header("X-ACCESS-TOKEN")):
            return asked, answers.refused("ACCESS_DENIED")
        if not asked:
            return "", answers.refused("PARAMETER_ERROR", message="SignatureId is empty")
        outcome = self.state.clear(asked)
        if outcome is Clearance.CLEARED:
            return asked, Reply("SUCCESS", answers.envelope("SUCCESS"))
        return asked, answers.refused("PARAMETER_ERROR", message=outcome)

    def image(self, request: Request, signature_id: str, side: str) -> Reply:
        """Return the image, if the link has our signature and has not expired."""
        sent = request.parameters()
        verdict = self._links.judge(
            signature_id, side, expires_s=sent.get("expires", ""), signature=sent.get("sig", "")
        )
        if verdict is not Verdict.LIVE:
            return answers.page(403, "Forbidden", name=verdict)
        scenario, fault = self.state.image(signature_id)
        if scenario.image_latency_s:
            self._pause(scenario.image_latency_s)
        return images.reply(
            signature_id, side, fault, location=self._links.link(request.origin, _ANOTHER, side)
        )

    def _unreadable(self, request: Request, code: str) -> Reply:
        valid = self.tokens.valid(request.header("X-ACCESS-TOKEN"))
        return answers.refused(code if valid else "ACCESS_DENIED")

    def _answer(self, given: Given, signature_id: str, origin: str) -> Reply:
        urls = self._urls(given, signature_id, origin)
        match given.step:
            case Pending():
                return answers.pending(given, given.step, urls)
            case Fault(kind=Kind.SLOW_DRIP):
                return answers.fault(
                    given.step, answers.pending(given, Pending(submission_completed=False), urls).body
                )
            case Fault(kind=Kind.WRONG_ID):
                return answers.fault(given.step, answers.settled(given, _ANOTHER, urls).body)
            case Fault():
                return answers.fault(given.step, answers.settled(given, signature_id, urls).body)
            case _:
                return answers.settled(given, signature_id, urls)

    def _urls(self, given: Given, signature_id: str, origin: str) -> Urls:
        roles = ("front", "back", *products.roles(given.scenario))
        match given.scenario.links:
            case Links.NONE:
                return {}
            case Links.PRIVATE:
                return {role: f"{_PRIVATE}/{FILES[role]}" for role in roles}
            case _:
                dead = given.settled_before < given.scenario.dead_links
                return {role: self._links.link(origin, signature_id, role, dead=dead) for role in roles}
