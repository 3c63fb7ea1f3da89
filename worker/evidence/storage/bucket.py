"""Evidence in a bucket of S3, Google or Azure, through obstore."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from worker.concurrency.blocking import run_blocking
from worker.errors import ConfigError
from worker.evidence.storage.backend import Backend, FolderWriter, Found, unavailable, unsuitable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore.store import ClientConfig, RetryConfig

#: A bucket that hangs must not use up the lease of 20 s: by default obstore waits 30 s, and retries for 3 minutes.
CLIENT: Final[ClientConfig] = {"connect_timeout": timedelta(seconds=3), "timeout": timedelta(seconds=8)}
RETRY: Final[RetryConfig] = {"max_retries": 2, "retry_timeout": timedelta(seconds=4)}

#: Sent with every object: a bucket with Object Lock requires a checksum, and other buckets check it.
CHECKSUM: Final = "SHA256"

#: The code of a bucket without conditional writes.
_UNKNOWN_FEATURE: Final = {"NotImplemented"}

#: The codes for a missing bucket: of S3 and Google, and of Azure.
_NO_BUCKET: Final = {"NoSuchBucket", "ContainerNotFound"}

#: The codes of a refusal, as faults in the setup of the bucket.
_MEANINGS: Final = {
    "AccessDenied": "permission denied",
    "AuthorizationHeaderMalformed": "the bucket is in another region than AWS_REGION says",
    "IllegalLocationConstraintException": "the bucket is in another region than AWS_REGION says",
    "PermanentRedirect": "the bucket is in another region than AWS_REGION says",
    "ExpiredToken": "the credentials have expired",
    "InvalidAccessKeyId": "the credentials are not accepted",
    "RequestTimeTooSkewed": "the clock of this machine differs too much from the server's",
    "SignatureDoesNotMatch": "the credentials are not accepted",
    **dict.fromkeys(_NO_BUCKET, "there is no such bucket"),
}

#: Texts in obstore's own errors, and its classes for an error without a code of the server.
_WORDS: Final = {
    "redirect without LOCATION": _MEANINGS["PermanentRedirect"],
    "169.254.169.254": "no credentials were found in the environment",
    "metadata.google.internal": "no credentials were found in the environment",
}
_KINDS: Final = {
    UnauthenticatedError: "the credentials are not accepted",
    PermissionDeniedError: "permission denied",
}

#: The prefixes of the variables in which obstore looks for a bucket's credentials.
ENVIRONMENT: Final = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}


class Bucket(Backend):
    """The objects under a URL of a bucket. A bucket answers a write only after it has stored the object.

    It may be created before a fork, but must not be used before. Creating it makes no request.
    Raises ``ConfigError`` if the URL or the credentials cannot be used.
    """

    #: The process of obstore's threads. They do not survive a fork: a child would wait for ever.
    _process: ClassVar[int | None] = None

    def __init__(self, url: str, scheme: str) -> None:
        self.url = url.rstrip("/")
        # Options given here replace those of the environment, so copy the option that local buckets need.
        plain = os.environ.get(f"{ENVIRONMENT[scheme]}_ALLOW_HTTP", "").lower() in {"1", "true"}
        options: ClientConfig = {**CLIENT, "allow_http": plain}
        checksum = os.environ.get("AWS_CHECKSUM_ALGORITHM") or CHECKSUM
        try:
            self._store = (
                from_url(url, client_options=options, retry_config=RETRY, checksum_algorithm=checksum)
                if scheme == "s3"
                else from_url(url, client_options=options, retry_config=RETRY)
            )
        except (BaseError, ValueError):
            raise ConfigError(
                f"EKYC_EVIDENCE_URL: this URL and the {ENVIRONMENT[scheme]}_… variables do not describe a bucket"
            ) from None

    def prepare(self) -> None:
        """Do nothing: a bucket is created together with the rights to it, not here."""

    def create(self, path: str, body: bytes) -> bool:
        with self._use("written"):
            try:
                run_blocking(self._store.put, path, body, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    @contextmanager
    def writing(self, folder: str) -> Iterator[FolderWriter]:
        yield _Puts(self, folder)

    def sync(self, folder: str) -> None:
        """Do nothing: a bucket answers a write only after it has stored the object."""

    def read(self, path: str) -> bytes | None:
        with self._use("read"):
            try:
                return bytes(run_blocking(lambda: self._store.get(path).bytes()))
            except FileNotFoundError as error:
                if _code(error) in _NO_BUCKET:
                    raise
                return None

    def remove(self, path: str) -> None:
        with self._use("removed"):
            run_blocking(self._store.delete, path)

    def list(self, folder: str = "") -> Iterator[Found]:
        with self._use("listed"):
            chunks = self._store.list(folder or None, chunk_size=1000)
            while chunk := run_blocking(next, chunks, ()):
                for found in chunk:
                    yield Found(found["path"], found["size"], found["last_modified"])

    @contextmanager
    def _use(self, doing: str) -> Iterator[None]:
        if Bucket._process not in {None, os.getpid()}:
            raise RuntimeError("evidence was used before this process was forked: use it only after the fork")
        Bucket._process = os.getpid()
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            if doing == "written" and _code(error) in _UNKNOWN_FEATURE:
                raise unsuitable(self.url, "the bucket does not support conditional writes") from None
            raise unavailable(doing, self.url, _cause(error)) from None


class _Puts(FolderWriter):
    """Puts each file at once, so that the end of the block has nothing to do."""

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self.taken = []
        self._bucket = bucket
        self._folder = folder

    def add(self, name: str, body: bytes) -> None:
        if not self._bucket.create(f"{self._folder}/{name}", body):
            self.taken.append(name)


def _code(error: Exception) -> str:
    """Return the error code in the server's answer; empty: there is none."""
    code = re.search(r"<Code>([A-Za-z0-9.]{1,64})</Code>", str(error))
    return code[1] if code else ""


def _cause(error: Exception) -> str:
    text, code = str(error), _code(error)
    if code in _MEANINGS:
        region = re.search(r"<Region>([a-z0-9-]{2,40})</Region>", text)
        return f"{_MEANINGS[code]} ({code}{f', it is {region[1]}' if region else ''})"
    if number := re.search(r"\(os error (\d+)\)", text):
        return os.strerror(int(number[1])).lower()
    words = [cause for words, cause in _WORDS.items() if words in text]
    words += [cause for kind, cause in _KINDS.items() if isinstance(error, kind)]
    if words:
        return words[0]
    status = re.search(r"status code: (\d{3})", text)
    return f"it answers HTTP {status[1]}{f' ({code})' if code else ''}" if status else "it does not answer"
