"""The packages of the product: those that `requirements/run.lock` pins, with their licences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.docs.page import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOCK: Final = ROOT / "requirements" / "run.lock"

#: Licences of packages whose metadata has none, or that are not installed on this system.
STATED: Final = {
    "async-timeout": "Apache-2.0",  # only for Python 3.11.0 to 3.11.2
    "colorama": "BSD-3-Clause",  # only for Windows
    "pyrage": "MIT",
}

#: Texts of metadata, and the SPDX expression of each. "BSD" alone does not say which of its variants.
_SPDX: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "New BSD": "BSD-3-Clause",
}

#: The licences that a package of the product may have. Another one needs a look at its terms.
ALLOWED: Final = frozenset(
    {
        *(
            "Apache-2.0",
            "BSD",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "MIT",
            "MIT-0",
            "MIT-CMU",
            "PSF-2.0",
            "ZPL-2.1",
        ),
        # Copyleft for the files of the package itself, which we do not change.
        "MPL-2.0",
        # Of pycurl, which may be used under MIT instead.
        "LGPL-2.1-only",
    }
)

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pinned package. `marker`: the systems for which it is installed; empty: all."""

    name: str
    version: str
    marker: str
    sha256: frozenset[str]


def pinned(lock: Path = LOCK) -> tuple[Pinned, ...]:
    """Return the packages of a lock file, sorted by name."""
    lines = lock.read_text().replace("\\\n", " ").splitlines()
    return tuple(
        sorted((_pinned(line) for line in lines if line and line[0] not in " #"), key=lambda each: each.name)
    )


@cache
def licence(name: str) -> str:
    """Return the licence of a package as an SPDX expression, or `BSD`. Raises ``LookupError`` if none is known."""
    if name in STATED:
        return STATED[name]
    try:
        found = metadata(name)
    except PackageNotFoundError:
        raise LookupError(
            f"{name} is not installed: install requirements/dev.lock, or state its licence"
        ) from None
    if "License-Expression" in found:
        return str(found["License-Expression"])
    text = str(found["License"]).strip() if "License" in found else ""
    if text in ALLOWED or _SPDX.get(text, "BSD") != "BSD":
        return _SPDX.get(text, text)
    classifiers = [
        each.rpartition(" :: ")[2] for each in found.get_all("Classifier") or () if each.startswith("License")
    ]
    if not classifiers:
        raise LookupError(
            f"{name}: its metadata has no licence; read its files, and state it in tools/packages.py"
        )
    return " OR ".join(sorted(_SPDX.get(each, each) for each in classifiers))


def identifiers(expression: str) -> frozenset[str]:
    """Return the licences that an expression names."""
    return frozenset(_IDENTIFIER.findall(expression)) - {"OR", "AND", "WITH"}


def _pinned(line: str) -> Pinned:
    requirement, *hashes = line.split("--hash=")
    parsed = Requirement(requirement.strip())
    (specifier,) = parsed.specifier
    return Pinned(
        canonicalize_name(parsed.name),
        specifier.version,
        str(parsed.marker or ""),
        frozenset(each.strip().removeprefix("sha256:") for each in hashes),
    )
