"""The endpoints that receive webhooks: the file that lists them, checked before use.

    origins = ["http://127.0.0.1:9000"]     # optional: origins allowed as written, over http or at a private address

    [endpoints.shop]
    url = "https://shop.example.com/ekyc"
    secrets = [{ file = "/run/secrets/shop" }, { env = "SHOP_OLD", until = 2027-01-31T00:00:00Z }]
    events = ["verification.quarantined"]   # optional: events beside decisions
    rate = 50                               # optional: requests per second and region
    context = true                          # optional: the decision's context is in the body

The file names secrets and never holds one. No fault quotes a URL or a secret.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from worker.decisions.positions import Positions
from worker.errors import ConfigError
from worker.http_client.addresses import is_public, literal
from worker.policy.toml_text import parsed
from worker.signatures import parse_secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.decisions.positions import Path as Place

#: What an endpoint may be called: the name is part of keys, metrics and logs.
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")

#: The most endpoints of a file: each may occupy a thread of every worker.
MAX_ENDPOINTS: Final = 32

#: The events that an endpoint may ask for, and what each means.
EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "verification.quarantined": "A verification needs a person.",
        "verification.released": "A person took a verification out of quarantine.",
        "evidence.completed": "The evidence of a decided verification is complete.",
        "verification.reviewed": "A reviewer judged a decision, which stays as it is.",
        "region.held": "No verification of a region is polled for a while.",
        "region.resumed": "A person ended the hold of a region.",
        "endpoint.paused": "An endpoint gets no deliveries until a person resumes it.",
        "ledger.replaced": "Redis holds another ledger than the workers know.",
    }
)

#: The highest rate that a file may give.
MAX_RATE: Final = 100_000.0

_KEYS: Final = ("origins", "endpoints")
_ENDPOINT_KEYS: Final = ("url", "secrets", "events", "rate", "context")
_SECRET_KEYS: Final = ("file", "env", "until")
_PORTS: Final = {"http": 80, "https": 443}
_PRINTABLE: Final = re.compile(r"[!-~]{1,2000}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A key for signatures. `until`: from then on it no longer signs; None: it has no end."""

    value: bytes = field(repr=False)
    until: datetime | None = None

    def is_usable(self, now: datetime) -> bool:
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks are sent.

    Parameters:
        url: it may hold a token of the receiver, so only its `origin` is shown.
        is_trusted: its origin is allowed as written, whatever its address.
        events: the events that it receives, beside decisions.
        rate: requests per second and region; None: no limit.
        context: whether the body has the context of the decision.
    """

    name: str
    url: str = field(repr=False)
    secrets: tuple[Secret, ...] = ()
    is_trusted: bool = False
    events: frozenset[str] = frozenset()
    rate: float | None = None
    context: bool = False

    @property
    def origin(self) -> str:
        return _origin(self.url)

    def signing(self, now: datetime) -> tuple[bytes, ...]:
        """The secrets that sign at a moment."""
        return tuple(secret.value for secret in self.secrets if secret.is_usable(now))


def load(path: Path | None, *, with_secrets: bool = True) -> Mapping[str, Endpoint]:
    """The endpoints of a file by name; of None: no endpoint. Raises ``ConfigError`` with a line for each fault.

    `with_secrets`: False for a process that sends nothing, such as `web`: it need not be able to read the secrets.
    """
    if path is None:
        return MappingProxyType({})
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"EKYC_ENDPOINTS_FILE: {path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8") from None
    draft = _Draft(parsed(text, str(path)), with_secrets=with_secrets)
    if draft.faults:
        positions = Positions.of(text)
        raise ConfigError("\n".join(_line(path, positions.line(at), said) for at, said in draft.faults))
    return MappingProxyType(draft.endpoints)


def _line(path: Path, line: int | None, said: str) -> str:
    return f"{path}: {said}" if line is None else f"{path}:{line}: {said}"


class _Draft:
    """Takes from a parsed file what can be used, and notes in `faults` what cannot."""

    def __init__(self, document: Mapping[str, Any], *, with_secrets: bool) -> None:
        self.faults: list[tuple[Place, str]] = []
        self._with_secrets = with_secrets
        self.endpoints: dict[str, Endpoint] = {}
        self._only_keys((), "", document, _KEYS)
        self._origins = self._allowed(document.get("origins", []))
        entries = document.get("endpoints", {})
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            self._fault(("endpoints",), "endpoints: write each under a line [endpoints.NAME]")
            return
        if len(entries) > MAX_ENDPOINTS:
            self._fault(("endpoints",), f"endpoints: there are {len(entries)}: name up to {MAX_ENDPOINTS}")
            return
        for name, entry in entries.items():
            self._take(name, entry)

    def _fault(self, at: Place, said: str) -> None:
        self.faults.append((at, said))

    def _only_keys(self, at: Place, where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in table:
            if key not in known:
                shown = key if NAME.fullmatch(key) else "a key"
                self._fault((*at, key), f"{where}{shown} is unknown: known are {', '.join(known)}")

    def _allowed(self, origins: Any) -> frozenset[str]:
        found = set()
        for number, each in enumerate(origins if isinstance(origins, list) else [origins]):
            try:
                parts = urlsplit(each)
                if parts.path not in {"", "/"} or parts.query or parts.fragment:
                    raise ValueError  # noqa: TRY301 - the same message for each reason
                found.add(_origin(each))
            except (ValueError, TypeError, AttributeError):
                self._fault(
                    ("origins", number), 'origins: write an origin, such as "http://receiver.internal:8080"'
                )
        return frozenset(found)

    def _take(self, name: str, entry: Mapping[str, Any]) -> None:
        at: Place = ("endpoints", name)
        if not NAME.fullmatch(name):
            self._fault(at, "the name of an endpoint is not usable: write 1 to 48 of a-z, 0-9, _ and -")
            return
        where = f"endpoint {name}: "
        before = len(self.faults)
        self._only_keys(at, where, entry, _ENDPOINT_KEYS)
        trusted = self._trusted((*at, "url"), where, entry.get("url"))
        secrets = self._secrets((*at, "secrets"), where, entry.get("secrets"))
        events = self._events((*at, "events"), where, entry.get("events", []))
        rate, context = entry.get("rate"), entry.get("context", False)
        if rate is not None and not _is_rate(rate):
            self._fault(
                (*at, "rate"), f"{where}rate: write more than 0 and at most {MAX_RATE:g} requests per second"
            )
        if not isinstance(context, bool):
            self._fault((*at, "context"), f"{where}context: write true or false")
        if len(self.faults) == before:
            self.endpoints[name] = Endpoint(
                name, entry["url"], secrets, trusted, events, None if rate is None else float(rate), context
            )

    def _trusted(self, at: Place, where: str, url: Any) -> bool:
        """Whether the origin of a URL is allowed as written."""
        if not isinstance(url, str):
            said = "url is missing" if url is None else "url is no text"
            self._fault(at, f'{where}{said}: write url = "https://…"')
            return False
        try:
            parts = urlsplit(url)
            origin = _origin(url)
        except ValueError:
            self._fault(
                at,
                f"{where}url is not usable: write a web address without user and password, in ASCII, "
                "such as https://shop.example.com/ekyc",
            )
            return False
        if parts.fragment or not _PRINTABLE.fullmatch(url):
            self._fault(
                at, f"{where}url is not usable: write up to 2000 characters of ASCII without blanks or #"
            )
        if origin in self._origins:
            return True
        if parts.scheme != "https":
            self._fault(at, f"{where}url is not https: use https, or name its origin in origins")
        address = literal(parts.hostname or "")
        if address is not None and not is_public(str(address)):
            self._fault(
                at, f"{where}url has a private address: use a public one, or name its origin in origins"
            )
        return False

    def _secrets(self, at: Place, where: str, listed: Any) -> tuple[Secret, ...]:
        if not isinstance(listed, list) or not listed:
            said = "secrets are missing" if listed is None else "secrets is no list of secrets"
            self._fault(at, f'{where}{said}: write secrets = [{{ file = "/run/secrets/NAME" }}]')
            return ()
        secrets = [self._secret((*at, number), where, each) for number, each in enumerate(listed)]
        found = tuple(secret for secret in secrets if secret is not None)
        if (
            self._with_secrets
            and len(found) == len(listed)
            and not any(secret.is_usable(datetime.now(UTC)) for secret in found)
        ):
            self._fault(at, f"{where}every secret has ended: add one without until")
        return found

    def _secret(self, at: Place, where: str, entry: Any) -> Secret | None:
        if not isinstance(entry, dict) or ("file" in entry) is ("env" in entry):
            self._fault(at, f'{where}a secret is not usable: write {{ file = "…" }} or {{ env = "NAME" }}')
            return None
        self._only_keys(at, where, entry, _SECRET_KEYS)
        until = entry.get("until")
        if until is not None and not _is_moment(until):
            self._fault(
                (*at, "until"),
                f"{where}until: write a date, or a time with its offset, such as 2027-01-31T00:00:00Z",
            )
            return None
        source = "file" if "file" in entry else "env"
        if not self._with_secrets:
            return None
        text = self._text((*at, source), where, source, entry[source])
        if text is None:
            return None
        value = _decoded(text)
        if value is None:
            self._fault(
                (*at, source),
                f"{where}the secret in {source} is not usable: put whsec_ and 24 to 64 bytes in base64 there",
            )
            return None
        return Secret(value, _moment(until))

    def _text(self, at: Place, where: str, source: str, name: Any) -> str | None:
        """The secret in a file or a variable; None: there is none."""
        if not isinstance(name, str) or not name:
            self._fault(at, f"{where}{source} is no name: write it in quotes")
            return None
        if source == "env":
            text = os.environ.get(name, "").strip()
            if not text:
                self._fault(at, f"{where}a secret is missing: set the environment variable that env names")
            return text or None
        try:
            return Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            self._fault(at, f"{where}a secret is missing: create the file that file names, readable as text")
            return None

    def _events(self, at: Place, where: str, names: Any) -> frozenset[str]:
        if not isinstance(names, list):
            self._fault(at, f'{where}events is no list: write events = ["verification.quarantined"]')
            return frozenset()
        for number, name in enumerate(names):
            if not isinstance(name, str) or name not in EVENTS:
                self._fault((*at, number), f"{where}an event is unknown: known are {', '.join(EVENTS)}")
        return frozenset(name for name in names if isinstance(name, str))


def _origin(url: str) -> str:
    """The origin of a URL with its port. Raises ``ValueError`` for what is no plain web address."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or not url.isascii():
        raise ValueError("not a plain web address")
    port = parts.port if parts.port is not None else _PORTS[parts.scheme]
    if port == 0:
        raise ValueError("not a port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def _is_rate(rate: Any) -> bool:
    return isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate <= MAX_RATE


def _is_moment(value: Any) -> bool:
    return isinstance(value, date) and (not isinstance(value, datetime) or value.tzinfo is not None)


def _moment(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def _decoded(text: str) -> bytes | None:
    """The bytes of a secret; None: it is not usable."""
    try:
        return parse_secret(text)
    except ValueError:
        return None
