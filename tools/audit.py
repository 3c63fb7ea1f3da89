"""Compare the pinned packages with a copy of the PyPA advisory database: `make audit ADVISORIES=folder`.

The database is the Git repository github.com/pypa/advisory-database: a YAML file for each advisory, in the OSV format,
under `vulns/<package>/`. Nothing is fetched: a copy can be carried to a machine without a network.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tools.packages import pinned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tools.packages import Pinned


@dataclass(frozen=True, slots=True)
class Found:
    """An advisory that affects a pinned package."""

    package: Pinned
    advisory: str
    aliases: tuple[str, ...]
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        fixed = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version fixes it"
        names = ", ".join((self.advisory, *self.aliases))
        return f"{self.package.name} {self.package.version}: {names}: {fixed}"


@dataclass(frozen=True, slots=True)
class Audit:
    """The outcome: the advisories that affect us."""

    #: How many advisories name a package of ours.
    read: int
    #: The day of the newest advisory of the database.
    newest: str
    found: tuple[Found, ...]


def audit(database: Path, packages: Sequence[Pinned]) -> Audit:
    """Compare packages with a copy of the database. Raises ``FileNotFoundError`` if the folder is no such copy."""
    folders: dict[str, Path] = {
        canonicalize_name(folder.name): folder for folder in (database / "vulns").iterdir()
    }
    read, found, newest = 0, [], ""
    for folder in folders.values():
        # The day of every advisory shows how old the copy is.
        for path in folder.glob("*.yaml"):
            newest = max(newest, _published(path))
    for package in packages:
        for path in sorted(folders[package.name].glob("*.yaml")) if package.name in folders else ():
            advisory = yaml.safe_load(path.read_text())
            read += 1
            if not advisory.get("withdrawn") and (fixed := _affects(advisory, package)) is not None:
                aliases = tuple(advisory.get("aliases") or ())
                found.append(Found(package, str(advisory["id"]), aliases, tuple(fixed)))
    return Audit(read, newest, tuple(found))


def _published(path: Path) -> str:
    """Return the day of an advisory. The files are large, so only this line is read."""
    for line in path.read_text().splitlines():
        if line.startswith("published:"):
            return line.partition(":")[2].strip(" \"'")[:10]
    return ""


def _affects(advisory: dict[str, Any], package: Pinned) -> list[str] | None:
    """Return the versions that fix an advisory for a package; None: it is not affected."""
    version = Version(package.version)
    affected, fixed = False, []
    for each in advisory.get("affected") or ():
        if canonicalize_name(each["package"]["name"]) != package.name:
            continue
        affected |= package.version in (each.get("versions") or ())
        for ranges in each.get("ranges") or ():
            if ranges.get("type") == "ECOSYSTEM":
                events = ranges.get("events") or ()
                affected |= _in(version, events)
                fixed += [str(event["fixed"]) for event in events if "fixed" in event]
    return fixed if affected else None


def _in(version: Version, events: Sequence[dict[str, Any]]) -> bool:
    inside = False
    for kind, at in sorted(_moments(events), key=lambda each: each[1]):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _moments(events: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Version]]:
    for event in events:
        for kind, text in event.items():
            try:
                yield kind, Version(str(text))
            except InvalidVersion:
                continue


def main(arguments: list[str]) -> int:
    """Print the outcome. Return 1 if a package is affected, 2 if there is no database."""
    if not arguments or not (Path(arguments[0]) / "vulns").is_dir():
        print(
            "give a copy of github.com/pypa/advisory-database: make audit ADVISORIES=folder", file=sys.stderr
        )
        return 2
    packages = pinned()
    done = audit(Path(arguments[0]), packages)
    for each in done.found:
        print(each)
    print(
        f"{len(packages)} packages, {done.read} advisories about them, the newest of the database of {done.newest}: "
        f"{len(done.found)} affect us"
    )
    return 1 if done.found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
