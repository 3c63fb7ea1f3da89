"""Evidence in a bucket of S3, Google or Azure, through obstore."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from worker.concurrency.blocking import run_blocking
from worker.errors import ConfigError
from worker.evidence.storage.backend import (
    MOST_BYTES,
    PROBE,
    TOO_LARGE,
    Backend,
    FolderWriter,
    Found,
    unavailable,
    unsuitable,
)
from worker.evidence.storage.s3 import CHECKSUM, S3Options, shared_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obstore import UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

#: A bucket that hangs must not use up the lease of 20 s: by default obstore waits 30 s, and retries for 3 minutes.
CLIENT: Final[ClientConfig] = {"connect_timeout": timedelta(seconds=3), "timeout": timedelta(seconds=8)}
RETRY: Final[RetryConfig] = {"max_retries": 2, "retry_timeout": timedelta(seconds=4)}

#: For a command of a person, who prefers to wait for a bucket that says `SlowDown`: about a minute.
PATIENT_RETRY: Final[RetryConfig] = {"max_retries": 10, "retry_timeout": timedelta(seconds=60)}

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

#: The version of an object that S3 wrote while versioning was suspended.
_NO_VERSION: Final = "null"

_NO_LOCK: Final = "EKYC_EVIDENCE_LOCK is set, but the bucket was created without Object Lock"

#: Texts in obstore's own errors and in those of a server, and its classes for an error without a code of the server.
_WORDS: Final = {
    TOO_LARGE: TOO_LARGE,
    "External AWS credential provider": "the shared credentials file has no access key any more",
    "missing Object Lock Configuration": _NO_LOCK,
    "missing ObjectLockConfiguration": _NO_LOCK,
    "redirect without LOCATION": _MEANINGS["PermanentRedirect"],
    "169.254.169.254": "no credentials were found in the environment",
    "metadata.google.internal": "no credentials were found in the environment",
    "source: BadScheme": "its address begins with http:, which needs {}_ALLOW_HTTP=true",
    "InvalidCertificate(": "its TLS certificate is not trusted: SSL_CERT_FILE names a file of authorities to trust",
    '"dns error"': "the name of its host is not known",
}
_KINDS: Final = {
    UnauthenticatedError: "the credentials are not accepted",
    PermissionDeniedError: "permission denied",
}

_NO_OPTIONS: Final = S3Options()

#: The prefixes of the variables in which obstore looks for a bucket's credentials.
ENVIRONMENT: Final = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}


class Bucket(Backend):
    """The objects under a URL of a bucket. A bucket answers a write only after it has stored the object.

    It may be created before a fork, but must not be used before. Creating it makes no request.
    Raises ``ConfigError`` if the URL or the credentials cannot be used.
    """

    #: The process of obstore's threads. They do not survive a fork: a child would wait for ever.
    _process: ClassVar[int | None] = None

    def __init__(
        self, url: str, scheme: str, options: S3Options = _NO_OPTIONS, *, is_patient: bool = False
    ) -> None:
        self.url = url.rstrip("/")
        self._retry = PATIENT_RETRY if is_patient else RETRY
        self._scheme = scheme
        self._options = options
        self._config = _s3_config(options) if scheme == "s3" else {}
        self._store = self._open()
        #: Whether a write of this process was answered with a version: the bucket keeps what is replaced.
        self.keeps_versions = False
        #: The version of each probe that was written and not removed yet.
        self._numbered: dict[str, str] = {}
        #: The store that locks what it writes, by the end of the lock; replaced every day.
        self._locking: dict[datetime, ObjectStore] = {}

    def _open(self, headers: dict[str, str] | None = None) -> ObjectStore:
        # Options given here replace those of the environment, so copy the option that local buckets need.
        plain = os.environ.get(f"{ENVIRONMENT[self._scheme]}_ALLOW_HTTP", "").lower() in {"1", "true"}
        client: ClientConfig = {**CLIENT, "allow_http": plain, "default_headers": headers or {}}
        try:
            return from_url(self.url, client_options=client, retry_config=self._retry, **self._config)
        except (BaseError, ValueError):
            raise ConfigError(
                f"EKYC_EVIDENCE_URL: this URL and the {ENVIRONMENT[self._scheme]}_… variables do not describe a bucket"
            ) from None

    def _writer(self, path: str) -> ObjectStore:
        """The store that writes an object: one that sends the headers of the lock, if the object is locked."""
        lock = self._options.lock
        until = lock.until(path, datetime.now(UTC)) if lock else None
        if lock is None or until is None:
            return self._store
        # The headers of a store cannot change, so each end of a lock has a store of its own.
        if (writer := self._locking.get(until)) is None:
            self._locking = {until: (writer := self._open(lock.headers(until)))}
        return writer

    def prepare(self) -> None:
        """Do nothing: a bucket is created together with the rights to it, not here."""

    def create(self, path: str, body: bytes) -> bool:
        with self._use("written"):
            try:
                store = self._writer(path)
                put = run_blocking(store.put, path, body, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            self._note_version(path, put["version"])
            return True

    def _note_version(self, path: str, version: str | None) -> None:
        if self._scheme != "gs":
            self.keeps_versions |= version not in {None, _NO_VERSION}
        elif version and path.startswith(PROBE):
            # Google numbers every object. Whether it keeps the old ones shows once the probe is removed.
            self._numbered[path] = version

    def create_all(self, folder: str, files: Sequence[tuple[str, bytes]]) -> Sequence[str]:
        for name, body in files:
            if not self.create(f"{folder}/{name}", body):
                return (name,)
        return ()

    def replace(
        self,
        path: str,
        body: bytes,
        *,
        expected: bytes | None = None,
        keeps_time: bool = False,  # noqa: ARG002 - a bucket sets it
    ) -> bool:
        with self._use("written"):
            if expected is None:
                run_blocking(self._store.put, path, body, mode="overwrite", use_multipart=False)
                return True
            return run_blocking(self._exchange, path, body, expected)

    def _exchange(self, path: str, body: bytes, expected: bytes) -> bool:
        try:
            found = self._store.get(path)
            if bytes(found.bytes()) != expected:
                return False
            version: UpdateVersion = {}
            if e_tag := found.meta["e_tag"]:
                version["e_tag"] = e_tag
            if number := found.meta["version"]:
                version["version"] = number
            self._writer(path).put(path, body, mode=version, use_multipart=False)
        except (FileNotFoundError, PreconditionError) as error:
            if _code(error) in _NO_BUCKET:
                raise
            return False
        return True

    @contextmanager
    def writing(self, folder: str) -> Iterator[FolderWriter]:
        yield _Puts(self, folder)

    def sync(self, folder: str) -> None:
        """Do nothing: a bucket answers a write only after it has stored the object."""

    def read(self, path: str) -> bytes | None:
        with self._use("read", path):
            try:
                return run_blocking(self._read, path)
            except FileNotFoundError as error:
                if _code(error) in _NO_BUCKET:
                    raise
                return None

    def _read(self, path: str) -> bytes:
        found = self._store.get(path)
        if found.meta["size"] > MOST_BYTES:
            raise OSError(errno.EFBIG, TOO_LARGE)
        return bytes(found.bytes())

    def remove(self, path: str) -> None:
        with self._use("removed"):
            run_blocking(self._store.delete, path)
            if version := self._numbered.pop(path, None):
                self.keeps_versions |= run_blocking(self._has, path, version)

    def _has(self, path: str, version: str) -> bool:
        try:
            self._store.get(path, options={"version": version})
        except FileNotFoundError:
            return False
        return True

    def locked_until(self, path: str, kept_at: datetime) -> datetime | None:
        lock = self._options.lock
        return lock.until(path, kept_at) if lock else None

    def list(self, folder: str = "") -> Iterator[Found]:
        return self._list(folder)

    def walk(self, folder: str, after: str = "") -> Iterator[Found]:
        # Every name of a file comes before the last character of ASCII.
        return self._list(folder, f"{folder}/{after}/~" if after else None)

    def _list(self, folder: str, after: str | None = None) -> Iterator[Found]:
        with self._use("listed"):
            chunks = self._store.list(folder or None, offset=after, chunk_size=1000)
            while chunk := run_blocking(next, chunks, ()):
                for found in chunk:
                    yield Found(found["path"], found["size"], found["last_modified"])

    def folders(self, folder: str) -> Iterator[str]:
        last = ""
        for found in self.list(folder):  # in the order of their names
            name, below, _ = found.path.removeprefix(f"{folder}/").partition("/")
            if below and name != last:
                last = name
                yield name

    @contextmanager
    def _use(self, doing: str, path: str = "") -> Iterator[None]:
        if Bucket._process not in {None, os.getpid()}:
            raise RuntimeError("evidence was used before this process was forked: use it only after the fork")
        Bucket._process = os.getpid()
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            if doing == "written" and _code(error) in _UNKNOWN_FEATURE:
                raise unsuitable(self.url, "the bucket does not support conditional writes") from None
            path = path if _is_of_object(error) else ""
            cause = _cause(error).replace("{}", ENVIRONMENT[self._scheme])
            raise unavailable(doing, self.url, cause, path) from None


def _s3_config(options: S3Options) -> dict[str, Any]:
    config: dict[str, Any] = {
        "checksum_algorithm": os.environ.get("AWS_CHECKSUM_ALGORITHM") or CHECKSUM,
        # Not every server has the request that deletes several objects, and one object is deleted at a time.
        "disable_bulk_delete": True,
    }
    if options.encryption:
        config["server_side_encryption"] = options.encryption
    if options.kms_key:
        config["sse_kms_key_id"] = options.kms_key
    if credentials := shared_credentials():
        config["credential_provider"] = credentials
    return config


class _Puts(FolderWriter):
    """Puts each file at once, so that the end of the block has nothing to do."""

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self.taken = []
        self._bucket = bucket
        self._folder = folder

    def add(self, name: str, body: bytes) -> None:
        if not self._bucket.create(f"{self._folder}/{name}", body):
            self.taken.append(name)

    def add_last(self, name: str, body: bytes) -> None:
        if not self.taken:
            self.add(name, body)


def _code(error: Exception) -> str:
    """Return the error code in the server's answer; empty: there is none."""
    code = re.search(r"<Code>([A-Za-z0-9.]{1,64})</Code>", str(error))
    return code[1] if code else ""


def _is_of_object(error: Exception) -> bool:
    """Whether an error may be about one object: the server answered, and not about the bucket or the credentials."""
    if (code := _code(error)) in _MEANINGS:
        return code == "AccessDenied"
    if isinstance(error, UnauthenticatedError):
        return False
    return (
        isinstance(error, PermissionDeniedError) or "status code: " in str(error) or TOO_LARGE in str(error)
    )


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
