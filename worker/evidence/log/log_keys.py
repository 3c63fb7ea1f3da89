"""The keys of the log: ``EKYC_LOG_KEY``, or its public half. Each region has a key name and an origin of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError
from worker.evidence.log.notes import PRIVATE, NoteSigner, NoteVerifier, new_signer

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A name of a key: a URL without its scheme. It is a part of every checkpoint, which others read.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")

_SEPARATORS: Final = re.compile(r"[,\s]+")

_SETTING: Final = "EKYC_LOG_KEY"

_WANTED: Final = "give the key that `ekyc evidence keygen --log NAME` makes, PRIVATE+KEY+<name>+…"
_WANTED_PUBLIC: Final = "give the public key that `ekyc evidence keygen --log NAME` printed, <name>+<id>+…"


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The keys of a log. The first private key signs; notes that any of the keys signed are accepted.

    Parameters:
        name: of all keys; a region adds its own.
    """

    name: str
    _verifiers: tuple[NoteVerifier, ...]
    _signer: NoteSigner | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str, setting: str = _SETTING) -> LogKeys:
        """Parse private or public keys, separated by commas or line ends. Raises ``ConfigError``."""
        signers: list[NoteSigner] = []
        verifiers: list[NoteVerifier] = []
        for number, part in enumerate(filter(None, _SEPARATORS.split(text)), start=1):
            try:
                if part.startswith(PRIVATE):
                    signers.append(NoteSigner.parse(part))
                    verifiers.append(signers[-1].verifier)
                else:
                    verifiers.append(NoteVerifier.parse(part))
            except ValueError as error:
                wanted = _WANTED if setting == _SETTING else _WANTED_PUBLIC
                raise ConfigError(f"{setting}: key {number} cannot be read: {error}; {wanted}") from None
        _check(verifiers, setting)
        return cls(verifiers[0].name, tuple(verifiers), signers[0] if signers else None)

    @classmethod
    def for_signing(cls, text: str) -> LogKeys | None:
        """Parse ``EKYC_LOG_KEY`` for a process that signs; None: it is not set. Raises ``ConfigError``."""
        if not text:
            return None
        keys = cls.parse(text)
        keys.signer("")
        return keys

    def __str__(self) -> str:
        """The public half of the newest key, as auditors give it to `ekyc evidence verify --key`."""
        return str(self._verifiers[0])

    def origin(self, region: str) -> str:
        """Return the first line of a region's checkpoints, which is also the name of its key."""
        return f"{self.name}/{region}"

    def signer(self, region: str) -> NoteSigner:
        """Return the key that signs for a region. Raises ``ConfigError`` if there are public keys only."""
        if self._signer is None:
            raise ConfigError(f"EKYC_LOG_KEY: this is a public key, which cannot sign: {_WANTED}")
        return self._signer.named(self.origin(region))

    def verifiers(self, region: str) -> tuple[NoteVerifier, ...]:
        """Return the public keys of a region, for readers of its log: `str` of one is its text."""
        return tuple(NoteVerifier(self.origin(region), each.public) for each in self._verifiers)


def new_log_key(name: str) -> tuple[str, str]:
    """Return a new key: the private text for ``EKYC_LOG_KEY``, a secret, and the public text for auditors.

    Raises ``ConfigError`` for a name that is not a URL without its scheme, such as `kyc.example.com`.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "the name of a log key is 1 to 128 of letters, digits and . _ / -, such as kyc.example.com/evidence"
        )
    signer = new_signer(name)
    return signer.private_text(), str(signer.verifier)


def _check(verifiers: Sequence[NoteVerifier], setting: str) -> None:
    if not verifiers:
        raise ConfigError(f"{setting} has no key: {_WANTED}")
    if len({each.name for each in verifiers}) > 1:
        raise ConfigError(f"{setting}: all keys must have one name, because it is a part of every checkpoint")
    if not _NAME.fullmatch(verifiers[0].name):
        raise ConfigError(
            f"{setting}: the name of the key has other characters than letters, digits and . _ / -"
        )
    if len(set(verifiers)) < len(verifiers):
        raise ConfigError(f"{setting}: one key is given twice")
