"""The decision table: from what the vendor says to what the pipeline receives."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from worker.decisions.draft import Draft
from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PACKAGED: Final = resources.files("worker.decisions") / "default.toml"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that has been checked: only PASS with SUCCESS can come out of it as `approve`.

    Parameters:
        version: what every decision carries as its `table`.
        rows: decisions by `overallResult` and `errorCode`.
        reasons: decisions where there is no result, by the reason why there is none, or where the answer
            contradicts its result, by what contradicts it.
        otherwise: the decision where nothing fits.
    """

    version: str
    rows: Mapping[tuple[str, str], str]
    reasons: Mapping[str, str]
    otherwise: str

    @classmethod
    def load(cls, path: Path | None) -> Table:
        """Read a table, None being the packaged one. Raises ``ConfigError`` with a line for each fault."""
        draft = Draft(_document(path))
        if draft.faults:
            raise ConfigError("\n".join(f"{path or _PACKAGED.name}: {fault}" for fault in draft.faults))
        rows, reasons = MappingProxyType(draft.rows), MappingProxyType(draft.reasons)
        return cls(draft.version, rows, reasons, draft.otherwise)

    @property
    def decisions(self) -> frozenset[str]:
        """Every decision that can come out of it."""
        return frozenset({*self.rows.values(), *self.reasons.values(), self.otherwise})

    def decide(self, overall_result: str | None, error_code: str | None, reason: str | None) -> str:
        """The name of the decision. With a `reason`, result and code do not count."""
        if reason is not None:
            return self.reasons.get(reason, self.otherwise)
        if overall_result is None or error_code is None:
            return self.otherwise
        return self.rows.get((overall_result, error_code), self.otherwise)


def _document(path: Path | None) -> dict[str, Any]:
    name = path or _PACKAGED.name
    try:
        return tomllib.loads((path or _PACKAGED).read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: is not text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: is not TOML: {error}") from None
