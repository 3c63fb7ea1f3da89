"""Find idioms in code and docs for which plain technical English has a shorter word. Part of `make lint`.

    python tools/check_prose.py [PATH]...

Prints a line for each idiom, with what to write instead. Exit status: 0 if there is none, 1 if there are some.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: The paths that are searched by default.
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

#: Regular expressions, and what to write instead.
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
    """Return the line, the words and the advice for each idiom in `text`."""
    found = []
    for match in _ANY.finditer(text):
        words = " ".join(match[0].split())
        advice = next(advice for idiom, advice in IDIOMS if re.fullmatch(idiom, match[0], re.IGNORECASE))
        found.append((text.count("\n", 0, match.start()) + 1, words, advice))
    return found


def files(paths: list[str]) -> list[Path]:
    """Return the tracked files below `paths` that have prose, except this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *paths], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    here = Path(__file__).resolve()
    named = (ROOT / name for name in listed if name)
    return [file for file in named if file.suffix in SUFFIXES and file.exists() and file != here]


def main(paths: list[str]) -> int:
    """Print the idioms. Return the exit code."""
    found = 0
    for file in files(paths or list(SCOPE)):
        for line, words, advice in faults(file.read_text(encoding="utf-8")):
            print(f"{file.relative_to(ROOT)}:{line}: {words!r}: write {advice}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
