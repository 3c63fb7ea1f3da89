"""The tokens of the HTTP API: the file that lists them, and what a token allows.

The file holds the SHA-256 of each token, never the token. A token is 256 random bits, so its hash needs no salt and no
slow function.

    [[token]]
    name = "shop"
    scopes = ["enqueue", "read"]
    sha256 = "…"
    pipeline = "shop"                 # optional: what it enqueues belongs to this pipeline
    expires = 2027-01-31T00:00:00Z    # optional
    rate = 100                        # optional: requests per second
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from worker.enqueue_request import BAD_PIPELINE, PIPELINE
from worker.errors import ConfigError
from worker.policy.toml_text import parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: What a token may allow.
SCOPES: Final[Mapping[str, str]] = {
    "enqueue": "enqueue verifications and nudge them",
    "read": "read verifications and decisions, and reconcile",
    "close": "say that a business relationship ended, from which the retention of evidence counts",
    "deliver": "see, test and resend deliveries",
    "notify": "send the vendor's notifications: the secret in the callback URL",
}

#: What a token may be called: the name appears in logs.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: Requests per second, where the file does not say.
DEFAULT_RATE: Final = 100.0

#: The highest rate that a file may give.
MAX_RATE: Final = 1_000_000.0

#: Tokens of one file. Each request is compared with all of them.
MAX_TOKENS: Final = 1000

#: What every token begins with, so that scanners for secrets recognise one.
PREFIX: Final = "ekyc_"

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `expires`: from then on it is refused; None: it does not expire."""

    name: str
    scopes: frozenset[str]
    sha256: bytes
    pipeline: str | None = None
    expires: datetime | None = None
    rate: float = DEFAULT_RATE

    def is_expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires


def find(tokens: tuple[Token, ...], secret: str) -> Token | None:
    """The token with this secret. It takes the same time whichever token matches, and where none does."""
    digest = hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.sha256, digest):
            found = token
    return found


def new_secret() -> str:
    """A new random token."""
    return PREFIX + secrets.token_urlsafe(32)


def entry(token: Token) -> str:
    """The lines of the file for a token."""
    scopes = ", ".join(f'"{scope}"' for scope in SCOPES if scope in token.scopes)
    lines = [
        "[[token]]",
        f'name = "{token.name}"',
        f"scopes = [{scopes}]",
        f'sha256 = "{token.sha256.hex()}"',
    ]
    if token.pipeline:
        lines.append(f'pipeline = "{token.pipeline}"')
    if token.expires:
        lines.append(f"expires = {token.expires.astimezone(UTC).isoformat().replace('+00:00', 'Z')}")
    if token.rate != DEFAULT_RATE:
        lines.append(f"rate = {token.rate:g}")
    return "\n".join(lines)


def parse(text: str) -> tuple[Token, ...]:
    """The tokens of a file. Raises ``ConfigError`` with a line for each fault; no line quotes a value."""
    document = parsed(text, "EKYC_API_TOKENS_FILE")
    entries = document.pop("token", [])
    faults = [f"there is no {name}: write each token as [[token]]" for name in document if _is_plain(name)]
    if len(document) > len(faults):
        faults.append("write each token as [[token]]")
    if not isinstance(entries, list) or len(entries) > MAX_TOKENS:
        faults.append(f"give 0 to {MAX_TOKENS} tokens, each as [[token]]")
        entries = []
    tokens: list[Token] = []
    for number, raw in enumerate(entries, start=1):
        found = list(_faults(raw))
        faults += [f"token {number}: {fault}" for fault in found]
        if not found:
            tokens.append(_token(raw))
    if len({token.sha256 for token in tokens}) < len(tokens):
        faults.append("two tokens have the same sha256")
    if faults:
        raise ConfigError("\n".join(f"EKYC_API_TOKENS_FILE: {fault}" for fault in faults))
    return tuple(tokens)


def _is_plain(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _is_plain(value)


def _is_pipeline(value: Any) -> bool:
    return isinstance(value, str) and PIPELINE.fullmatch(value) is not None


def _is_scopes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, str) and one in SCOPES for one in value)
    )


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_moment(value: Any) -> bool:
    return isinstance(value, date) and (not isinstance(value, datetime) or value.tzinfo is not None)


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_RATE


#: The test of each key, and what its value must be.
_KEYS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "name": (_is_name, "must be 1 to 64 of letters, digits, . _ -"),
    "scopes": (_is_scopes, f"must be a list of {', '.join(SCOPES)}"),
    "sha256": (_is_sha256, "must be 64 hexadecimal digits in lower case: run `ekyc token new`"),
    "pipeline": (_is_pipeline, BAD_PIPELINE),
    "expires": (_is_moment, "must be a date, or a time with its offset, such as 2027-01-31T00:00:00Z"),
    "rate": (_is_rate, f"must be more than 0, and at most {MAX_RATE:g} requests per second"),
}

_REQUIRED: Final = ("name", "scopes", "sha256")


def _faults(raw: Any) -> Iterator[str]:
    if not isinstance(raw, dict):
        yield "write it as [[token]]"
        return
    for key in _REQUIRED:
        if key not in raw:
            yield f"{key} is missing"
    for key, value in raw.items():
        if key not in _KEYS:
            yield f"there is no key {key}" if _is_plain(key) else "it has a key that does not exist"
        elif not _KEYS[key][0](value):
            yield f"{key} {_KEYS[key][1]}"


def _token(raw: dict[str, Any]) -> Token:
    expires = raw.get("expires")
    if expires is not None and not isinstance(expires, datetime):
        expires = datetime(expires.year, expires.month, expires.day, tzinfo=UTC)
    return Token(
        raw["name"],
        frozenset(raw["scopes"]),
        bytes.fromhex(raw["sha256"]),
        raw.get("pipeline"),
        expires,
        float(raw.get("rate", DEFAULT_RATE)),
    )
