"""Finds idioms in code and docs for which plain technical English has a shorter word. Part of `make lint`.

    python tools/check_prose.py [PATH]...

Exit status: 0 none is found, 1 some are: one line each, with what to write instead.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: What is read where no path is given.
SCOPE = (
    "worker",
    "tasks",
    "schemas",
    "sandbox",
    "tools",
    "deploy",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)

SUFFIXES = frozenset({".py", ".lua", ".toml", ".md", ".yml", ".yaml"})

#: An expression, and what to write instead.
IDIOMS = (
    (r"whoever|whomever|whosoever", "name the actor: the caller, the client, the worker"),
    (r"anew", "again, or a verb: renew, start over"),
    (r"mend(?:s|ed|ing)?", "fix"),
    (r"in the place of", "instead of"),
    (r"sees? to it(?: that)?", "make sure that"),
    (r"(?:is|are|was|were) told", "receives, gets, or an active sentence"),
    (r"on trial", "half-open"),
    (r"in (?:its|their|our) hands|in hands", "in flight"),
    (r"everybody goes on", "the breaker closes"),
    (r"is it answered, |does it fail", "if it is answered, if it fails"),
)

_ANY = re.compile("|".join(rf"\b(?:{idiom})\b" for idiom, _ in IDIOMS), re.IGNORECASE)


def faults(text: str) -> list[tuple[int, str, str]]:
    """Of each idiom in `text`: its line, the words, and what to write instead."""
    found = []
    for match in _ANY.finditer(text):
        words = " ".join(match[0].split())
        advice = next(advice for idiom, advice in IDIOMS if re.fullmatch(idiom, match[0], re.IGNORECASE))
        found.append((text.count("\n", 0, match.start()) + 1, words, advice))
    return found


def files(paths: list[str]) -> list[Path]:
    """The tracked files below `paths` that hold prose, but for this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *paths], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    here = Path(__file__).resolve()
    named = (ROOT / name for name in listed if name)
    return [file for file in named if file.suffix in SUFFIXES and file.exists() and file != here]


def main(paths: list[str]) -> int:
    """Print what was found."""
    found = 0
    for file in files(paths or list(SCOPE)):
        for line, words, advice in faults(file.read_text(encoding="utf-8")):
            print(f"{file.relative_to(ROOT)}:{line}: {words!r}: write {advice}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
