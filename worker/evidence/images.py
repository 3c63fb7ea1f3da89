"""Fetching what an answer links to. Neither the hosts nor the bytes are trusted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from requests import RequestException

from worker.errors import ImageLinkExpired, ImageRefused, ImageUnavailable
from worker.evidence.admission import Admissions
from worker.evidence.inline import inline, tidied
from worker.evidence.media import Kind, sniff
from worker.http_client import MIB, BodyTooLarge, deadline, fault, public_session, read_bounded, session
from worker.http_client.plain_url import plain
from worker.time_budget import IMAGES_S

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from requests import PreparedRequest

    from worker.evidence.admission import Admission
    from worker.http_client.adapter import Connections

#: A photo of a phone has 2 to 8 MB; no document needs more than this.
MAX_BYTES: Final = 20 * MIB

#: Characters of a link: twice the minimum of RFC 9110, section 4.1. Parsing a link of 2 MB took 46 MB and seconds.
MAX_LINK: Final = 16_000

_DEFAULT_PORT: Final = {"http": 80, "https": 443}

#: Statuses of a busy host. Other 4xx concern the link: some object stores answer 400 for an expired link.
_BUSY: Final = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class Image:
    """An image, archive or video as it arrived. `media_type` comes from its bytes, never from its host's headers."""

    body: bytes = field(repr=False)
    media_type: str
    #: Hexadecimal.
    sha256: str


class Images:
    """Fetches images. Thread-safe. Create it after the process has forked.

    Parameters:
        origins: the allowed origins of images, taken literally, so that http and private addresses are possible. Empty:
            any host over https with a public address.
        admissions: the limits of this process.
        proxy: see ``worker.http_client``; `ca_bundle` too.
    """

    def __init__(
        self,
        origins: tuple[str, ...],
        admissions: Admissions | None = None,
        *,
        proxy: str = "",
        ca_bundle: str = "",
    ) -> None:
        self.admissions = admissions or Admissions()
        self._origins = frozenset(_origin(origin) for origin in origins)
        make = session if origins else public_session
        self._http = make(proxy=proxy, ca_bundle=ca_bundle)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def for_one(self, expected: int = 2) -> ImagesOfOne:
        """Return a context manager that fetches the objects of one verification, `expected` of them.

        No other verification uses its connections, which it closes at the end: otherwise bytes that a host sends after
        an image could become part of the next person's.
        """
        return ImagesOfOne(self, self._http.own_connections(expected))

    def fetch(self, url: str, admission: Admission | None = None, kind: Kind = Kind.IMAGE) -> Image:
        """Fetch a single object: see ``ImagesOfOne.fetch``."""
        with self.for_one(1) as its:
            return its.fetch(url, admission, kind)

    def request(self, url: str) -> PreparedRequest:
        """Return the request for an image. Raises ``ImageRefused``."""
        link = tidied(url) if len(url) <= MAX_LINK else None
        if link is None:
            raise ImageRefused("BAD_URL")
        try:
            request = self._http.prepare_get(link)
            # Check the URL of the prepared request, so that two parsers cannot read it differently.
            origin = _origin(str(request.url))
        except (RequestException, ValueError):
            raise ImageRefused("BAD_URL") from None
        if origin not in self._origins if self._origins else not origin.startswith("https://"):
            raise ImageRefused("ORIGIN_NOT_ALLOWED")
        return request


class ImagesOfOne:
    """The images of one verification; for one thread or greenlet."""

    def __init__(self, images: Images, connections: Connections) -> None:
        self._images = images
        self._connections = connections

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.drop()

    def fetch(self, url: str, admission: Admission | None = None, kind: Kind = Kind.IMAGE) -> Image:
        """Return the object of a link, or the object inlined in its place.

        No error quotes the link: anyone who has it can see the document.

        Raises:
            ImageRefused: a later attempt would fail, too. Its `reason` is `BAD_URL`, `ORIGIN_NOT_ALLOWED`,
                `PRIVATE_ADDRESS`, `REDIRECT`, `TOO_LARGE`, or the value of `kind`.
            ImageLinkExpired: the host does not accept this link, or no longer.
            ImageUnavailable: the host did not deliver the whole object in time.
            ImageHostBusy: `admission` has no place or memory for it; with no place, the host was not asked.
        """
        held = inline(url)
        if held is not None:
            return _image(held, kind)
        request = self._images.request(url)
        if admission:
            admission.enter(_netloc(str(request.url)))
        try:
            with deadline(IMAGES_S), self._connections.send(request) as response:
                _judge(response.status_code)
                size_bytes = _size(response.headers)
                if admission:
                    admission.reserve(size_bytes)
                body = read_bounded(response, size_bytes)
        except BodyTooLarge:
            raise ImageRefused("TOO_LARGE") from None
        except RequestException as error:
            word = fault(error)
            if word == "ADDRESS_NOT_PUBLIC":
                raise ImageRefused("PRIVATE_ADDRESS") from None
            raise ImageUnavailable(f"an image did not arrive: {word}") from None
        finally:
            if admission:
                admission.leave()
        return _image(body, kind)


def _image(body: bytes, kind: Kind) -> Image:
    media_type = sniff(body, kind)
    if len(body) > MAX_BYTES:
        raise ImageRefused("TOO_LARGE")
    if media_type is None:
        raise ImageRefused(kind.value)
    return Image(body, media_type, hashlib.sha256(body).hexdigest())


def _size(headers: Mapping[str, str]) -> int:
    """Return the limit for a body: its `Content-Length` if that is given and counts, else ``MAX_BYTES``."""
    length = headers.get("Content-Length", "")
    known = length.isdecimal() and len(length) <= len(str(MAX_BYTES))
    if not known or "Content-Encoding" in headers or "Transfer-Encoding" in headers:
        return MAX_BYTES
    return min(int(length), MAX_BYTES)


def _origin(url: str) -> str:
    if found := plain(url):
        return found.origin
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORT or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not a plain web address")
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORT[parts.scheme]}"


def _netloc(url: str) -> str:
    found = plain(url)
    return found.netloc if found else urlsplit(url).netloc


def _judge(status: int) -> None:
    if 300 <= status < 400:  # noqa: PLR2004 - the redirects of HTTP
        raise ImageRefused("REDIRECT")
    if 400 <= status < 500 and status not in _BUSY:  # noqa: PLR2004 - the faults of the caller
        raise ImageLinkExpired(f"the host of an image answered HTTP {status}")
    if status != 200:  # noqa: PLR2004 - OK
        raise ImageUnavailable(f"the host of an image answered HTTP {status}")
