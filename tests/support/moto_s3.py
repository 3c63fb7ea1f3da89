"""moto's S3 and IAM over HTTP: a real server that checks signatures and policies, keeps versions and locks objects.

moto and boto3 are imported where they are used: they take longer than most tests.
"""

from __future__ import annotations

import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from tests.support.http_thread import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pytest

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "hunter2"

#: The body of an answer to a request that comes too fast.
SLOW_DOWN: Final = f"<Error><Code>SlowDown</Code><Message>{SECRET}</Message></Error>".encode()


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: its method, path with query, and headers by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def signed(self) -> Sequence[str]:
        """The names of the headers that the signature covers."""
        return self.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")


@dataclass(slots=True)
class MotoS3:
    """The server. It handles one request after the other, as moto's check of a condition is not atomic.

    `seen`: the requests of obstore. `slow_down`: how many further requests are answered with 503.
    """

    seen: list[Seen] = field(default_factory=list)
    slow_down: int = 0
    headers_of_503: Sequence[tuple[str, str]] = ()
    endpoint: str = ""
    _lock: Lock = field(default_factory=Lock)
    _app: Any = None

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        with self._lock:
            if "Boto3" in environ.get("HTTP_USER_AGENT", ""):
                return self._app(environ, start)
            self.seen.append(_seen(environ))
            if self.slow_down:
                self.slow_down -= 1
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                length = ("Content-Length", str(len(SLOW_DOWN)))
                start("503 Slow Down", [("Content-Type", "application/xml"), length, *self.headers_of_503])
                return [SLOW_DOWN]
            return self._app(environ, start)

    @contextmanager
    def running(self) -> Iterator[MotoS3]:
        from moto.core.authorization import disable_iam_authentication
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            create_backend_app,
        )
        from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415 - see above

        class Quiet(WSGIRequestHandler):
            def log(self, *_: object) -> None:
                pass

        self._app = DomainDispatcherApplication(create_backend_app)
        server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        with serving(server), disable_iam_authentication():
            _forget(self)
            yield self

    def client(self, service: str, access: str = ACCESS, secret: str = SECRET) -> Any:
        """A client of boto3, to set up what a person sets up, and to look at what was stored."""
        import boto3  # type: ignore[import-untyped] # noqa: PLC0415 - see above

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        )

    def bucket(self, name: str, *, locked: bool = False) -> None:
        self.client("s3").create_bucket(Bucket=name, ObjectLockEnabledForBucket=locked)

    def head(self, bucket: str, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client("s3").head_object(Bucket=bucket, Key=key)
        return found

    def keys(self, bucket: str) -> list[str]:
        listed = self.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
        return [each["Key"] for each in listed]

    def user(self, name: str, *policies: str) -> tuple[str, str]:
        """Create a user of IAM with these policies. Returns its access key and secret key."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for number, policy in enumerate(policies):
            iam.put_user_policy(UserName=name, PolicyName=f"policy-{number}", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def use(self, monkeypatch: pytest.MonkeyPatch, access: str = ACCESS, secret: str = SECRET) -> None:
        """Set the variables of an account for this server."""
        for name, value in self.environment(access, secret).items():
            monkeypatch.setenv(name, value)

    def environment(self, access: str = ACCESS, secret: str = SECRET) -> dict[str, str]:
        return {
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
        }


def enforced() -> AbstractContextManager[None]:
    """In this block each request needs a known access key, a valid signature, and a policy that allows it."""
    from moto.core.authorization import enable_iam_authentication

    block: AbstractContextManager[None] = enable_iam_authentication()
    return block


def refused() -> type[Exception]:
    """The error of a client of boto3."""
    from botocore.exceptions import ClientError  # type: ignore[import-untyped] # noqa: PLC0415 - see above

    found: type[Exception] = ClientError
    return found


def _forget(server: MotoS3) -> None:
    """Forget all buckets and users: moto keeps them by process."""
    request = urllib.request.Request(f"{server.endpoint}/moto-api/reset", method="POST")
    with urllib.request.urlopen(request) as answer:
        answer.read()
    server.seen.clear()


def _seen(environ: Mapping[str, Any]) -> Seen:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    return Seen(environ["REQUEST_METHOD"], f"{environ['PATH_INFO']}{query}", headers)
