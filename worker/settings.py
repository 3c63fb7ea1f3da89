"""The settings: read from the environment once, checked, and then frozen.

Every field is an environment variable of the same meaning (see ``.env.example``). Any variable ``NAME`` may
be given as ``NAME_FILE``, a path whose content is the value; meant for secrets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from environs import EnvValidationError, FileAwareEnv
from marshmallow import ValidationError
from marshmallow.validate import Range

from schemas.fields import REGION_ALIASES, REGIONS, canonical_region
from worker.errors import ConfigError

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_BIND: Final = re.compile(rf"(?:{_HOST.pattern})(?::[1-9][0-9]{{0,4}})?|unix:/.+")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process of ours may be told from outside. Times are in seconds."""

    redis_url: str = field(default=DEFAULT_REDIS_URL, repr=False)
    broker_url: str = field(default=DEFAULT_REDIS_URL, repr=False)
    #: The queue of our own tasks, and so of `tasks.enqueue`. Celery's default name, so that `send_task` needs none.
    queue: str = "celery"
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    regions: tuple[str, ...] = REGIONS
    #: One origin in the place of all six vendor hosts; empty: the vendor's own.
    base_url: str = ""
    evidence_url: str = ""
    #: Origins that images may come from; empty: any public host over https.
    image_origins: tuple[str, ...] = ()
    #: None: the packaged table.
    decisions_file: Path | None = None
    poll_first_s: float = 2.0
    poll_factor: float = 1.35
    poll_cap_s: float = 600.0
    poll_deadline_s: float = 7200.0
    #: Vendor calls per second and region for the whole fleet; None: no limit but what the vendor says.
    rate: float | None = None
    #: The most verifications that one claim takes.
    batch: int = 64
    lease_s: float = 20.0
    #: How long the ledger remembers a verification after it is done; the evidence stays.
    retention_s: float = 7 * 86_400.0
    #: For how long a process that starts waits for Redis, which may start beside it.
    start_wait_s: float = 60.0
    #: A file whose mtime says that a worker's loop turns; None: none.
    health_file: Path | None = None
    #: Where `web` listens, as gunicorn takes it: `host:port` or `unix:/path`.
    web_bind: str = "127.0.0.1:8000"
    #: Where work that was given up is reported; empty: nowhere.
    sentry_dsn: str = field(default="", repr=False)

    @classmethod
    def from_env(cls) -> Settings:
        """Read the environment. Raises ``ConfigError`` with one line per variable that cannot be used."""
        env = FileAwareEnv(eager=False, strip_whitespace=True)
        default = cls()
        above_zero = Range(min=0, min_inclusive=False)
        try:
            redis_url = env.str("REDIS_URL", "", validate=_server_urls) or DEFAULT_REDIS_URL
            settings = cls(
                redis_url=redis_url,
                broker_url=env.str("CELERY_BROKER_URL", "", validate=_server_urls) or redis_url,
                queue=env.str("EKYC_QUEUE", default.queue) or default.queue,
                access_key=env.str("ADVANCE_ACCESS_KEY", ""),
                secret_key=env.str("ADVANCE_SECRET_KEY", ""),
                regions=_unique(env.list("ADVANCE_REGIONS", [], validate=_regions)) or REGIONS,
                base_url=(env.str("ADVANCE_BASE_URL", "", validate=_origin) or "").rstrip("/"),
                evidence_url=_absolute(env.str("EKYC_EVIDENCE_URL", "", validate=_evidence_url) or ""),
                image_origins=tuple(env.list("EKYC_IMAGE_ORIGINS", [], validate=_origins) or ()),
                decisions_file=Path(path) if (path := env.str("EKYC_DECISIONS_FILE", "")) else None,
                poll_first_s=env.float("EKYC_POLL_FIRST", default.poll_first_s, validate=above_zero),
                poll_factor=env.float(
                    "EKYC_POLL_FACTOR", default.poll_factor, validate=Range(min=1, max=100)
                ),
                poll_cap_s=env.float("EKYC_POLL_CAP", default.poll_cap_s, validate=above_zero),
                poll_deadline_s=env.float("EKYC_POLL_DEADLINE", default.poll_deadline_s, validate=above_zero),
                rate=env.float("EKYC_RATE", None, validate=above_zero),
                batch=env.int("EKYC_BATCH", default.batch, validate=Range(min=1, max=1000)),
                lease_s=env.float("EKYC_LEASE", default.lease_s, validate=Range(min=5, max=3600)),
                retention_s=env.float("EKYC_RETENTION", default.retention_s, validate=Range(min=3600)),
                start_wait_s=env.float("EKYC_START_WAIT", default.start_wait_s, validate=Range(min=0)),
                health_file=Path(path) if (path := env.str("EKYC_HEALTH_FILE", "")) else None,
                web_bind=_web_bind(
                    env.str("EKYC_WEB_BIND", "", validate=_bind),
                    # What Heroku-like platforms give.
                    env.int("PORT", None, validate=Range(min=1, max=65_535)),
                ),
                sentry_dsn=env.str("SENTRY_DSN", ""),
            )
            env.seal()
        except EnvValidationError as error:
            raise ConfigError(_lines(error.error_messages)) from None
        except (ValueError, UnicodeDecodeError) as error:
            raise ConfigError(str(error)) from None
        return settings

    def require_vendor(self) -> None:
        """Raises ``ConfigError`` where a key is missing without which no vendor can be asked."""
        keys = {"ADVANCE_ACCESS_KEY": self.access_key, "ADVANCE_SECRET_KEY": self.secret_key}
        missing = [name for name, value in keys.items() if not value]
        if missing:
            raise ConfigError(
                "\n".join(f"{name} is not set: the vendor's console shows it" for name in missing)
            )

    def require_evidence(self) -> None:
        """Raises ``ConfigError`` where nothing says where evidence is kept."""
        if not self.evidence_url:
            raise ConfigError(
                "EKYC_EVIDENCE_URL is not set: say where evidence is kept, "
                "such as file:///var/lib/ekyc or s3://bucket/ekyc"
            )


@cache
def current() -> Settings:
    """The settings of this process. Raises ``ConfigError``."""
    return Settings.from_env()


def _unique(names: list[str] | None) -> tuple[str, ...]:
    # None and unknown names stand for what environs has already noted as a fault.
    known = (name for name in names or () if name.strip().lower() in {*REGIONS, *REGION_ALIASES})
    return tuple(dict.fromkeys(canonical_region(name) for name in known))


def _regions(names: list[str]) -> None:
    for name in filter(None, names):
        try:
            canonical_region(name)
        except ValueError as error:
            raise ValidationError(str(error)) from None


def _origins(texts: list[str]) -> None:
    for text in texts:
        _origin(text)


def _origin(text: str) -> None:
    parts = urlsplit(text)
    if text and (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path not in {"", "/"}
        or parts.query
        or parts.fragment
        or parts.username is not None
    ):
        raise ValidationError("give an origin and nothing more, such as https://images.example.com")


def _server_urls(text: str) -> None:
    """One URL, or several of brokers. What is wrong with one is told without any part of it."""
    for url in text.split(";"):
        try:
            parts = urlsplit(url.strip())
            whole = parts.port is None or parts.port > 0
        except ValueError:
            whole = False
        if not whole or "@" in parts.path + parts.query + parts.fragment:
            raise ValidationError(
                "is not a URL: give one such as redis://:password@host:6379/0, "
                "and in its password write %5B for [, %5D for ], %23 for #, %2F for /, %3F for ?, %40 for @"
            )
        if parts.scheme in {"redis", "rediss"} and not re.fullmatch(r"/?\d*", parts.path):
            raise ValidationError("the database of a Redis is a number: end its address with one, such as /0")


def _web_bind(given: str | None, port: int | None) -> str:
    # Loopback also where only a port is given: nobody outside was meant to be let in.
    bind = given or "127.0.0.1"
    return f"{bind}:{port or 8000}" if _HOST.fullmatch(bind) else bind


def _bind(text: str) -> None:
    if text and not _BIND.fullmatch(text):
        raise ValidationError("give host:port, a host alone, or unix:/path, such as 127.0.0.1:8000")


def _evidence_url(text: str) -> None:
    scheme = urlsplit(text).scheme
    if text and scheme not in {"file", "s3", "gs", "az"}:
        raise ValidationError("give a file:///, s3://, gs:// or az:// URL")


def _absolute(url: str) -> str:
    """`file:var/evidence` is meant from the folder in which the process was started."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path or parts.path.startswith("/"):
        return url
    return Path(unquote(parts.path)).absolute().as_uri()


def _lines(messages: object) -> str:
    if not isinstance(messages, dict):
        return str(messages)
    return "\n".join(
        f"{name}: {' '.join(faults) if isinstance(faults, list) else faults}"
        for name, faults in messages.items()
    )
