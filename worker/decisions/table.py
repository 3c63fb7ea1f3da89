"""The decision table: from the vendor's result to the decision that the pipeline receives."""

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
    """A checked decision table: only PASS with SUCCESS can lead to `approve`.

    Parameters:
        version: the `table` of every decision.
        rows: decisions by `overallResult` and `errorCode`.
        reasons: decisions by reason: why there is no result, or which field contradicts it.
        otherwise: the decision for everything else.
    """

    version: str
    rows: Mapping[tuple[str, str], str]
    reasons: Mapping[str, str]
    otherwise: str

    @classmethod
    def load(cls, path: Path | None) -> Table:
        """Read a table; None: the packaged table. Raises ``ConfigError`` with a line for each fault."""
        draft = Draft(_document(path))
        if draft.faults:
            raise ConfigError("\n".join(f"{path or _PACKAGED.name}: {fault}" for fault in draft.faults))
        rows, reasons = MappingProxyType(draft.rows), MappingProxyType(draft.reasons)
        return cls(draft.version, rows, reasons, draft.otherwise)

    @property
    def decisions(self) -> frozenset[str]:
        """Every decision to which the table can lead."""
        return frozenset({*self.rows.values(), *self.reasons.values(), self.otherwise})

    def decide(self, overall_result: str | None, error_code: str | None, reason: str | None) -> str:
        """Return the name of the decision. A `reason` takes precedence over result and code."""
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
