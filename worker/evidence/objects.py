"""Files that are written once, under one URL: a local folder or a bucket, by way of obstore."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote, urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from worker.errors import ConfigError, EvidenceUnavailable
from worker.evidence.local import FOLDER_MODE, LocalFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from obstore.store import ClientConfig, ObjectStore, RetryConfig

#: A bucket that hangs must not eat the lease of 20 s: obstore alone would wait 30 s, and try for 3 minutes.
CLIENT: Final[ClientConfig] = {"connect_timeout": timedelta(seconds=3), "timeout": timedelta(seconds=8)}
RETRY: Final[RetryConfig] = {"max_retries": 2, "retry_timeout": timedelta(seconds=4)}

#: How the variables begin in which obstore looks for a bucket's credentials.
ENVIRONMENT: Final = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a listing found, its path relative to the URL."""

    path: str
    size_bytes: int
    kept_at: datetime


class Objects:
    """The files under `url`; safe to share between threads, and made before a fork but not used before it.

    Raises ``ConfigError`` for a URL that cannot be used, ``EvidenceUnavailable`` for whatever obstore or the
    operating system raise. A bucket is not asked before it is needed.
    """

    #: The process that obstore's threads run in. They do not survive a fork: the child would wait for ever.
    _process: ClassVar[int | None] = None

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ConfigError("EKYC_EVIDENCE_URL: give the place alone; secrets belong in the environment")
        self.url = url.rstrip("/")
        if parts.scheme == "file":
            with _clear("written", self.url):
                root = _folder(parts.netloc, unquote(parts.path))
                self._store = from_url(root.as_uri())
            self._local: LocalFolder | None = LocalFolder(root, self._store)
        else:
            self._store = _bucket(url, parts.scheme)
            self._local = None

    def create(self, path: str, body: bytes) -> bool:
        """Write a file if there is none, whole or not at all: True; False: there is one already."""
        with self._use("written"):
            if self._local is not None:
                return self._local.create(path, body)
            try:
                self._store.put(path, body, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None: there is no such file."""
        with self._use("read"):
            try:
                return bytes(self._store.get(path).bytes())
            except FileNotFoundError:
                return None

    def remove(self, path: str) -> None:
        with self._use("removed"):
            self._store.delete(path)

    def list(self, folder: str | None = None) -> Iterator[Found]:
        """Every file under `folder`; None: under the URL."""
        with self._use("listed"):
            for chunk in self._store.list(folder, chunk_size=1000):
                for found in chunk:
                    yield Found(found["path"], found["size"], found["last_modified"])

    @contextmanager
    def _use(self, doing: str) -> Iterator[None]:
        if Objects._process not in {None, os.getpid()}:
            raise RuntimeError("evidence was in use before this process was forked: use it after only")
        Objects._process = os.getpid()
        with _clear(doing, self.url):
            yield


def _folder(host: str, path: str) -> Path:
    root = Path(path)
    if host or not root.is_absolute():
        raise ConfigError("EKYC_EVIDENCE_URL: a local folder is given as file:///path, with three slashes")
    root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return root.resolve()


def _bucket(url: str, scheme: str) -> ObjectStore:
    if scheme not in ENVIRONMENT:
        raise ConfigError("EKYC_EVIDENCE_URL: give a file:///, s3://, gs:// or az:// URL")
    # Options given here take the place of those in the environment, so the one that local buckets need is
    # carried over.
    plain = os.environ.get(f"{ENVIRONMENT[scheme]}_ALLOW_HTTP", "").lower() in {"1", "true"}
    try:
        return from_url(url, client_options={**CLIENT, "allow_http": plain}, retry_config=RETRY)
    except (BaseError, ValueError):
        raise ConfigError(
            f"EKYC_EVIDENCE_URL: no bucket can be made of this URL and the {ENVIRONMENT[scheme]}_… variables"
        ) from None


@contextmanager
def _clear(doing: str, url: str) -> Iterator[None]:
    """Say in one line what went wrong. obstore's own words run over many, and may quote a signed URL."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise EvidenceUnavailable(
            f"evidence cannot be {doing} at {url}: {_cause(error)}; "
            "check EKYC_EVIDENCE_URL, the rights of this account and the space left there"
        ) from None


def _cause(error: Exception) -> str:
    text = str(error)
    if number := re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", text):
        return os.strerror(int(number[1] or number[2])).lower()
    if "169.254.169.254" in text or "metadata.google.internal" in text:
        return "no credentials were found in the environment"
    if isinstance(error, UnauthenticatedError):
        return "the credentials are not accepted"
    if isinstance(error, PermissionDeniedError):
        return "permission denied"
    status = re.search(r"status code: (\d{3})", text)
    return f"it answers HTTP {status[1]}" if status else "it does not answer"
