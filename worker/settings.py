"""The settings: read from the environment once, checked, and then frozen.

Every field has an environment variable (see ``.env.example``). Any variable ``NAME`` may be given as ``NAME_FILE``, a
path whose content is the value; meant for secrets.
"""

from __future__ import annotations

import os
import re
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from worker.enqueue_request import REGIONS, canonical_region
from worker.environment import Environment, Range
from worker.errors import ConfigError
from worker.keyring import parse_keys
from worker.signatures import parse_private_keys
from worker.time_budget import LEASE_LIMITS_S, LEASE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"

#: The queue of decisions. Only the pipeline consumes it.
DECISION_QUEUE: Final = "onboarding"

#: The separator of queue name and priority in the names of kombu's lists on Redis.
_PRIORITY: Final = "\x06\x16"

#: The similarity by difflib from which an unknown name counts as a misspelt setting.
ALIKE: Final = 0.87

#: The similarity from which a setting is suggested.
NEAR: Final = 0.7

#: The ways in which a bucket of S3 encrypts objects at rest, and the modes of its Object Lock.
SSE: Final = ("aws:kms", "aws:kms:dsse", "AES256")
LOCK_MODES: Final = ("GOVERNANCE", "COMPLIANCE")

#: The entry of `EKYC_CONSOLE_PROXIES` for clients of a `unix:` socket, which have no address.
UNIX: Final = "unix"

_OURS: Final = ("EKYC_", "ADVANCE_")

#: The variables that Kubernetes and Docker set for a service called `ekyc-…`.
_SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)$")

_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_QUEUE: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}")

#: Prefixes of the keys of the ledger and of kombu, and of RabbitMQ's own queues.
_RESERVED: Final = ("ekyc:", "_kombu", "unacked", "amq.")
_BIND: Final = re.compile(rf"(?:{_HOST.pattern})(?::[1-9][0-9]{{0,4}})?|unix:/.+")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process. Times are in seconds.

    The comment above a field is its row in docs/reference/settings.md; "Unset: …" explains an empty default.
    """

    #: The Redis of the ledger: always set it. See docs/redis.md.
    redis_url: str = field(default=DEFAULT_REDIS_URL, repr=False)
    #: The broker of Celery's messages, if it is not the ledger's Redis; for `web`, too. See docs/rabbitmq.md. Unset:
    #: `REDIS_URL`.
    broker_url: str = field(default=DEFAULT_REDIS_URL, repr=False)
    #: The queue of the fleet's own tasks, and so of `tasks.enqueue`. Change it on a broker that other Celery
    #: applications use, too: see docs/adr/0006-queue-name.md. Never `onboarding`, where the pipeline's decisions
    #: wait.
    queue: str = "celery"
    #: The access key from the vendor's console: always set it. Unset: none.
    access_key: str = field(default="", repr=False)
    #: The secret key from the vendor's console: always set it, best as `ADVANCE_SECRET_KEY_FILE`. Unset: none.
    secret_key: str = field(default="", repr=False)
    #: The regions that this fleet polls, from `sg`, `ph`, `th`, `my`, `vn`, `global` (alias `id`), separated by commas.
    #: The fleet polls no others. Unset: all six.
    regions: tuple[str, ...] = REGIONS
    #: One origin that replaces the vendor's six hosts: for the sandbox. Unset: none.
    base_url: str = ""
    #: The evidence store, the same for all workers: `file:///…`, `s3://…`, `gs://…` or `az://…`; always set it.
    #: `file:var/evidence` is below the folder in which a worker is started. Credentials of a bucket come from the usual
    #: `AWS_…`, `GOOGLE_…`, `AZURE_…` variables. Requirements for a store: docs/evidence-stores.md. Unset: none.
    evidence_url: str = ""
    #: The keys that encrypt evidence, `id:base64`, separated by commas or line ends, the current one first; best as
    #: `EKYC_EVIDENCE_KEYS_FILE`: see docs/encryption.md. `ekyc evidence keygen` makes one. The same for all workers.
    #: Unset: everyone who can read the evidence store can read the documents in it.
    evidence_keys: str = field(default="", repr=False)
    #: Where the wrapped data key of each verification is stored, in the form of `EKYC_EVIDENCE_URL`, such as a bucket
    #: without a lock, so that evidence in a locked bucket can be erased. Unset: beside the evidence.
    evidence_keys_url: str = ""
    #: The private key that signs the log of evidence, `PRIVATE+KEY+<name>+…`, best as `EKYC_LOG_KEY_FILE`: see
    #: docs/evidence-log.md. `ekyc evidence keygen --log NAME` makes one. The same for all workers. Further keys of the
    #: same name, public or private, separated by commas or line ends, are accepted. Unset: no log is kept, and a change
    #: of the evidence by people who can write its store does not show.
    log_key: str = field(default="", repr=False)
    #: The URL of an RFC 3161 timestamp authority, which stamps each day's checkpoint of the log of evidence. Unset: no
    #: timestamps.
    timestamp_url: str = ""
    #: How S3 encrypts what is written: `aws:kms`, `aws:kms:dsse` or `AES256`. Unset: as the bucket is set up.
    evidence_sse: str = ""
    #: The id or ARN of the KMS key for `EKYC_EVIDENCE_SSE`. Unset: the key that AWS manages.
    evidence_sse_key: str = ""
    #: Object Lock of S3: `GOVERNANCE` (a special right lifts the lock) or `COMPLIANCE` (nothing does).
    #: See docs/evidence-stores.md#object-lock. Unset: as the bucket is set up.
    evidence_lock: str = ""
    #: Days for which `EKYC_EVIDENCE_LOCK` locks each object, such as 1827 for five years. Unset: none.
    evidence_lock_days: int | None = None
    #: The allowed origins of images, such as `https://images.example.com`, separated by commas. Set it once you know
    #: them. An entry that cannot match a link (a path, a wildcard) is refused. Unset: any public host over https.
    image_origins: tuple[str, ...] = ()
    #: The HTTP proxy to the vendor and to images, such as `http://proxy.example.com:3128`. Variables such as
    #: `HTTPS_PROXY` are not read. The proxy must refuse private addresses: SECURITY.md#what-is-up-to-you. Use
    #: `EKYC_PROXY_FILE` if the URL holds a password. Unset: none.
    proxy: str = field(default="", repr=False)
    #: A PEM file with all certificate authorities to trust over HTTPS, for a proxy that terminates TLS. Unset: the
    #: public ones of certifi.
    ca_bundle: str = ""
    #: The file of your own decision table: see docs/decisions.md. Unset: the packaged table.
    decisions_file: Path | None = None
    #: The file of a second decision table, which each worker applies beside the first and never acts on: it counts the
    #: decisions that would differ. See docs/decisions.md#a-shadow-table. Unset: none.
    decisions_shadow: Path | None = None
    #: The private key, `whsk_…`, that signs deliveries with ed25519, best as `EKYC_SIGNING_KEY_FILE`: see
    #: docs/receivers.md#the-signing-key. `ekyc webhook key` makes one. Several, separated by commas or line ends, for a
    #: rotation: the newest first. For `web`, too, which publishes the public keys. Unset: no signature by ed25519.
    signing_key: str = field(default="", repr=False)
    #: The file of the endpoints that receive webhooks: see docs/webhooks.md. Unset: decisions are delivered as Celery
    #: tasks only.
    endpoints_file: Path | None = None
    #: Seconds: the longest first countdown after a null answer once the user has submitted. Until then the first
    #: countdown is up to six times as long.
    poll_first_s: float = 2.0
    #: The factor by which each further countdown grows. A smaller one polls sooner, with more polls: see
    #: docs/schedule.md.
    poll_factor: float = 1.35
    #: Seconds: the longest countdown.
    poll_cap_s: float = 600.0
    #: Seconds after which waiting ends, and the verification is decided for the reason `DEADLINE_PASSED`.
    poll_deadline_s: float = 7200.0
    #: Vendor calls per second and region for the whole fleet. Unset: no limit except the vendor's own.
    rate: float | None = None
    #: The most verifications that one claim takes. Rarely needs a change.
    batch: int = 64
    #: Seconds after which other workers take over the verifications of a killed worker. A live worker renews its lease.
    #: Rarely needs a change.
    lease_s: float = LEASE_S
    #: Seconds for which the ledger keeps a finished verification with its decision; enqueueing it again changes
    #: nothing. Takes about 1.5 kB of Redis each. The evidence stays.
    retention_s: float = 7 * 86_400.0
    #: How long evidence is kept, by region and decision, such as `my=6y,*=5y,sg/reject=2y@decided`: see
    #: docs/retention.md. Only `ekyc evidence retain --sweep` erases by it. Unset: as the law of each region asks.
    retain: str = ""
    #: Seconds for which a worker, `web` or Flower waits for Redis at its start; then it exits with one line. No
    #: process has to start before another. Raise it if Redis takes longer to load.
    start_wait_s: float = 60.0
    #: A file for each worker (`%n` in it is the worker's name) whose age shows whether the worker lives, for health
    #: checks of containers: see docs/metrics.md#the-health-file. Unset: none.
    health_file: Path | None = None
    #: The address on which `web` listens: `host:port`, a host alone, or `unix:/path`. Anyone who can connect sees the
    #: figures; they hold no personal data. See docs/metrics.md.
    web_bind: str = "127.0.0.1:8000"
    #: The file with the tokens of the HTTP API: see docs/http-api.md. `ekyc token new` prints an entry. The file is
    #: read again when it changes. Unset: the API refuses every request.
    api_tokens_file: Path | None = None
    #: The file with the users of the console: see docs/console.md. `ekyc console user add` writes an entry. The file is
    #: read again when it changes. Unset: there is no console.
    console_users_file: Path | None = None
    #: The addresses, or networks such as `10.0.0.0/8`, of proxies in front of `web` that have authenticated the user
    #: whom `EKYC_CONSOLE_PROXY_HEADER` names, separated by commas; `unix` is each client of a `unix:` socket. They must
    #: remove the header that clients send: see docs/console.md#single-sign-on. Unset: users log in with a password.
    console_proxies: tuple[str, ...] = ()
    #: The header in which such a proxy names the user of a request.
    console_proxy_header: str = "X-Forwarded-User"
    #: `on`: users with the role `reviewer` see the images and fields of a verification in the console. `web` then needs
    #: `EKYC_EVIDENCE_URL` and `EKYC_EVIDENCE_KEYS`. Unset: nobody sees evidence in the console.
    console_evidence: str = ""
    #: The Sentry project that receives error reports: see docs/traces.md#error-reports. Needs the extra `sentry`.
    #: Unset: none.
    sentry_dsn: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, env: Environment | None = None) -> Settings:
        """Read the environment. Raises ``ConfigError`` with one line per variable that cannot be used."""
        env = env or Environment()
        default = cls()
        above_zero = Range(min=0, min_inclusive=False)
        redis_url = env.str("REDIS_URL", "", validate=_server_urls) or DEFAULT_REDIS_URL
        settings = cls(
            redis_url=redis_url,
            broker_url=env.str("CELERY_BROKER_URL", "", validate=_server_urls) or redis_url,
            queue=env.str("EKYC_QUEUE", default.queue, validate=_queue),
            access_key=env.str("ADVANCE_ACCESS_KEY", ""),
            secret_key=env.str("ADVANCE_SECRET_KEY", ""),
            regions=_unique(env.list("ADVANCE_REGIONS", [], validate=_regions)) or REGIONS,
            base_url=env.str("ADVANCE_BASE_URL", "", validate=_origin).rstrip("/"),
            evidence_url=_absolute(env.str("EKYC_EVIDENCE_URL", "", validate=_evidence_url)),
            evidence_keys=env.str("EKYC_EVIDENCE_KEYS", "", validate=parse_keys),
            evidence_keys_url=_absolute(env.str("EKYC_EVIDENCE_KEYS_URL", "", validate=_evidence_url)),
            log_key=env.str("EKYC_LOG_KEY", ""),
            timestamp_url=env.str("EKYC_TIMESTAMP_URL", "", validate=_http_url),
            evidence_sse=env.str("EKYC_EVIDENCE_SSE", "", validate=_one_of(SSE)),
            evidence_sse_key=env.str("EKYC_EVIDENCE_SSE_KEY", ""),
            evidence_lock=env.str("EKYC_EVIDENCE_LOCK", "", validate=_one_of(LOCK_MODES)),
            evidence_lock_days=env.int("EKYC_EVIDENCE_LOCK_DAYS", None, validate=Range(min=1, max=36_525)),
            image_origins=_each(env.list("EKYC_IMAGE_ORIGINS", [], validate=_origins)),
            proxy=env.str("EKYC_PROXY", "", validate=_proxy),
            ca_bundle=env.str("EKYC_CA_BUNDLE", "", validate=_ca_bundle),
            decisions_file=Path(path) if (path := env.str("EKYC_DECISIONS_FILE", "")) else None,
            decisions_shadow=Path(path) if (path := env.str("EKYC_DECISIONS_SHADOW", "")) else None,
            signing_key=env.str("EKYC_SIGNING_KEY", "", validate=_signing_key),
            endpoints_file=Path(path) if (path := env.str("EKYC_ENDPOINTS_FILE", "")) else None,
            poll_first_s=env.float("EKYC_POLL_FIRST", default.poll_first_s, validate=above_zero),
            poll_factor=env.float("EKYC_POLL_FACTOR", default.poll_factor, validate=Range(min=1, max=100)),
            poll_cap_s=env.float("EKYC_POLL_CAP", default.poll_cap_s, validate=above_zero),
            poll_deadline_s=env.float("EKYC_POLL_DEADLINE", default.poll_deadline_s, validate=above_zero),
            rate=env.float("EKYC_RATE", None, validate=above_zero),
            batch=env.int("EKYC_BATCH", default.batch, validate=Range(min=1, max=1000)),
            lease_s=env.float(
                "EKYC_LEASE", default.lease_s, validate=Range(min=LEASE_LIMITS_S[0], max=LEASE_LIMITS_S[1])
            ),
            retention_s=env.float("EKYC_RETENTION", default.retention_s, validate=Range(min=3600)),
            retain=env.str("EKYC_RETAIN", ""),
            start_wait_s=env.float("EKYC_START_WAIT", default.start_wait_s, validate=Range(min=0)),
            health_file=Path(path) if (path := env.str("EKYC_HEALTH_FILE", "")) else None,
            web_bind=_web_bind(
                env.str("EKYC_WEB_BIND", "", validate=_bind),
                #: The port of `web` if `EKYC_WEB_BIND` names none, as platforms like Heroku set it. It does not
                #: open `web` to other machines; `EKYC_WEB_BIND=0.0.0.0` does. Unset: none.
                env.int("PORT", None, validate=Range(min=1, max=65_535)),
            ),
            api_tokens_file=Path(path) if (path := env.str("EKYC_API_TOKENS_FILE", "")) else None,
            console_users_file=Path(path) if (path := env.str("EKYC_CONSOLE_USERS_FILE", "")) else None,
            console_proxies=_each(env.list("EKYC_CONSOLE_PROXIES", [], validate=_networks)),
            console_proxy_header=env.str(
                "EKYC_CONSOLE_PROXY_HEADER", default.console_proxy_header, validate=_header
            ),
            console_evidence=env.str("EKYC_CONSOLE_EVIDENCE", "", validate=_on).replace("off", ""),
            sentry_dsn=env.str("SENTRY_DSN", ""),
        )
        if faults := [*env.faults, *_incomplete(settings), *_misspelt(env.names)]:
            raise ConfigError("\n".join(faults))
        return settings

    def require_vendor(self) -> None:
        """Raise ``ConfigError`` if a key for the vendor's API is missing."""
        keys = {"ADVANCE_ACCESS_KEY": self.access_key, "ADVANCE_SECRET_KEY": self.secret_key}
        missing = [name for name, value in keys.items() if not value]
        if missing:
            raise ConfigError(
                "\n".join(f"{name} is not set: copy it from the vendor's console" for name in missing)
            )

    def require_evidence(self) -> None:
        """Raise ``ConfigError`` if no evidence store is set."""
        if not self.evidence_url:
            raise ConfigError(
                "EKYC_EVIDENCE_URL is not set: give the URL of the evidence store, "
                "such as file:///var/lib/ekyc or s3://bucket/ekyc"
            )


@cache
def current() -> Settings:
    """Return the settings of this process. Raises ``ConfigError``."""
    return Settings.from_env()


def is_decision_queue(name: str) -> bool:
    """Whether `name` is the pipeline's queue or one of its priority lists."""
    return name.strip().partition(_PRIORITY)[0] == DECISION_QUEUE


def _incomplete(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting that needs another one."""
    if settings.evidence_sse_key and not settings.evidence_sse.startswith("aws:kms"):
        yield "EKYC_EVIDENCE_SSE_KEY: set EKYC_EVIDENCE_SSE=aws:kms, too"
    if bool(settings.evidence_lock) != bool(settings.evidence_lock_days):
        yield "EKYC_EVIDENCE_LOCK and EKYC_EVIDENCE_LOCK_DAYS: set both or none"
    elsewhere = urlsplit(settings.evidence_keys_url).netloc not in {
        "",
        urlsplit(settings.evidence_url).netloc,
    }
    is_file = settings.evidence_keys_url.startswith("file:")
    if settings.evidence_lock and settings.evidence_keys and not (elsewhere or is_file):
        yield (
            "EKYC_EVIDENCE_LOCK: set EKYC_EVIDENCE_KEYS_URL to another bucket, too: one with Object Lock keeps every "
            "version, so keys there cannot be destroyed, and evidence cannot be erased"
        )


def _one_of(words: tuple[str, ...]) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f"give one of {', '.join(words)}")

    return check


def _queue(name: str) -> None:
    if is_decision_queue(name):
        raise ValueError(
            f"{DECISION_QUEUE} is the pipeline's queue of decisions: give the fleet another queue"
        )
    if name and not _QUEUE.fullmatch(name):
        raise ValueError("give 1 to 200 of letters, digits, and . _ - : such as ekyc")
    if name.startswith(_RESERVED):
        raise ValueError(
            f"names that begin with {', '.join(_RESERVED)} are reserved: give another, such as ekyc"
        )


def _unique(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(canonical_region, filter(None, names))))


def _regions(names: list[str]) -> None:
    for name in filter(None, names):
        canonical_region(name)


def _each(texts: list[str]) -> tuple[str, ...]:
    """Return the entries of a list, stripped of blanks, without empty entries such as after a trailing comma."""
    return tuple(filter(None, (text.strip() for text in texts)))


def _origins(texts: list[str]) -> None:
    entries = _each(texts)
    if not entries:
        raise ValueError("names no origin: leave it unset, or give one such as https://images.example.com")
    for number, entry in enumerate(entries, start=1):
        try:
            _origin(entry)
        except ValueError as error:
            raise ValueError(f"entry {number} matches no link: {error}") from None


def _origin(text: str) -> None:
    """Raise ``ValueError`` for a text that can be the origin of no link."""
    with _of_the_form("give an origin and nothing more, such as https://images.example.com"):
        parts = urlsplit(text)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.path not in {"", "/"}
            or parts.query
            or parts.fragment
            or parts.username is not None
            or parts.port == 0
        ):
            raise ValueError
    host = parts.netloc.removesuffix(f":{parts.port}").removesuffix(":")
    if "*" in host:
        raise ValueError("wildcards are not supported: name each host")
    if not host.isascii():
        raise ValueError("give the host in ASCII, as xn--…")
    with _of_the_form("the host has a character that is not allowed in a host"):
        if not _HOST.fullmatch(host):
            raise ValueError
        if host.startswith("["):
            IPv6Address(host[1:-1])


def _networks(texts: list[str]) -> None:
    for number, entry in enumerate(_each(texts), start=1):
        with _of_the_form(
            f"entry {number}: give an address, a network or {UNIX}, such as 10.0.0.5 or 10.0.0.0/8"
        ):
            if entry != UNIX:
                ip_network(entry)


def _header(text: str) -> None:
    if not _HEADER.fullmatch(text):
        raise ValueError("give the name of a header, such as X-Forwarded-User")


def _on(text: str) -> None:
    if text not in {"", "on", "off"}:
        raise ValueError("give on or off")


def _http_url(text: str) -> None:
    """Raise ``ValueError`` for a text that is no URL of a web server. It may hold no password."""
    with _of_the_form("give an http:// or https:// URL without a user, such as https://tsa.example.com/tsr"):
        parts = urlsplit(text)
        if text and (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.username is not None
            or parts.fragment
            or parts.port == 0
        ):
            raise ValueError


@contextmanager
def _of_the_form(message: str) -> Iterator[None]:
    """Replace the message of a ``ValueError``: it may quote the text, which may hold a password."""
    try:
        yield
    except ValueError:
        raise ValueError(message) from None


def _proxy(text: str) -> None:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if text and (not usable or parts.path not in {"", "/"} or parts.query or parts.fragment):
        raise ValueError("give the URL of an HTTP proxy, such as http://proxy.example.com:3128")


def _ca_bundle(text: str) -> None:
    if not text:
        return
    try:
        ssl.create_default_context(cafile=text)
    except (OSError, ValueError):
        raise ValueError("give a readable PEM file with the certificates of your CAs") from None


def _signing_key(text: str) -> None:
    if text:
        parse_private_keys(text)


def _server_urls(text: str) -> None:
    """Check one URL, or several of brokers. The message about an invalid URL quotes no part of it."""
    for url in text.split(";"):
        try:
            parts = urlsplit(url.strip())
            whole = parts.port is None or parts.port > 0
        except ValueError:
            whole = False
        if not whole or "@" in parts.path + parts.query + parts.fragment:
            raise ValueError(
                "is not a URL: give one such as redis://:password@host:6379/0, "
                "and in its password write %5B for [, %5D for ], %23 for #, %2F for /, %3F for ?, %40 for @"
            )
        if parts.scheme in {"redis", "rediss"} and not re.fullmatch(r"/?\d*", parts.path):
            raise ValueError("the database of a Redis is a number: end its address with one, such as /0")


def _web_bind(given: str, port: int | None) -> str:
    # Loopback also if only a port is given, so that a port alone opens nothing to other machines.
    bind = given or "127.0.0.1"
    return f"{bind}:{port or 8000}" if _HOST.fullmatch(bind) else bind


def _bind(text: str) -> None:
    if text and not _BIND.fullmatch(text):
        raise ValueError("give host:port, a host alone, or unix:/path, such as 127.0.0.1:8000")


def _evidence_url(text: str) -> None:
    with _of_the_form("give a file:///, s3://, gs:// or az:// URL"):
        if urlsplit(text).scheme not in {"file", "s3", "gs", "az"}:
            raise ValueError


def _absolute(url: str) -> str:
    """Return the URL with a relative `file:` path made absolute, from the folder in which the process was started."""
    if not url.startswith("file:"):
        return url
    parts = urlsplit(url)
    if parts.netloc or not parts.path or parts.path.startswith("/"):
        return url
    return Path(unquote(parts.path)).absolute().as_uri()


def unread_names() -> list[str]:
    """Return a line for each variable that looks like a setting and is not read: another program may own it."""
    env = Environment()
    with suppress(ConfigError):
        Settings.from_env(env)
    unknown = [
        f"{name} is not a setting of this release and is not read{_suggested(name, env.names, NEAR)}"
        for name in _unknown(env.names)
    ]
    both = [
        f"{name} is not read, because {name}_FILE is set, too"
        for name in sorted(env.names)
        if os.environ.get(name) and os.environ.get(f"{name}_FILE")
    ]
    return unknown + both


def _misspelt(names: set[str]) -> list[str]:
    """Return a line for each variable that is most likely a misspelt setting."""
    suggested = {name: _suggested(name, names, ALIKE) for name in _unknown(names)}
    return [f"{name}: there is no such setting{text}" for name, text in suggested.items() if text]


def _suggested(name: str, names: set[str], cutoff: float) -> str:
    """Return the suggested setting, as the end of a sentence, or "" if none is similar enough."""
    found = get_close_matches(name.upper(), sorted(_with_files(names)), n=1, cutoff=cutoff)
    return f": did you mean {found[0]}?" if found else ""


def _unknown(names: set[str]) -> list[str]:
    known = _with_files(names)
    return sorted(
        name
        for name in os.environ
        if name.upper().startswith(_OURS) and name not in known and not _SERVICE_LINK.search(name)
    )


def _with_files(names: set[str]) -> set[str]:
    return names | {f"{name}_FILE" for name in names}
