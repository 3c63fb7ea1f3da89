"""The Dockerfile and what surrounds it: small, pinned, without root and without a shell."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from tests.deploy.sources import DEPLOY, PROCFILE
from tests.support.paths import ROOT

DOCKERFILE: Final = (DEPLOY / "Dockerfile").read_text()

#: The last stage is what runs.
BUILD, _, RUNTIME = DOCKERFILE.rpartition("\nFROM ")


def words(stage: str, instruction: str) -> list[str]:
    """What follows each `instruction` of a stage, its continued lines joined."""
    text = re.sub(r"\\\n", " ", stage)
    return re.findall(rf"^{instruction} (.+)$", text, re.MULTILINE)


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([hadolint, DEPLOY / "Dockerfile"], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_bases_are_pinned_by_a_tag_and_can_be_by_digest() -> None:
    bases = dict(text.split("=", 1) for text in words(DOCKERFILE, "ARG"))
    assert bases.keys() == {"BUILD", "RUNTIME"}
    for base in bases.values():
        assert re.fullmatch(r"[a-z0-9.-]+/[a-z0-9./-]+:(?!latest)[\w.-]+", base)
    assert [stage.split()[0] for stage in words(DOCKERFILE, "FROM")] == ["${BUILD}", "${RUNTIME}"]


def test_only_what_the_lock_file_names_is_installed() -> None:
    first, second = (text for text in words(BUILD, "RUN") if " install " in text)
    assert {"--require-hashes", "--only-binary", "/src/requirements/run.lock"} <= set(first.split())
    assert {"--no-deps", "--no-build-isolation"} <= set(second.split())


def test_what_runs_needs_no_shell_and_is_nobody() -> None:
    assert not words(RUNTIME, "RUN")
    assert words(RUNTIME, "ENTRYPOINT") == ["[]"]
    (command,) = words(RUNTIME, "CMD")
    assert tuple(re.findall(r'"([^"]+)"', command)) == PROCFILE["worker"]
    (user,) = words(RUNTIME, "USER")
    assert all(part.isdigit() and int(part) > 0 for part in user.split(":"))


def test_what_is_copied_is_sent_to_the_builder_and_nothing_else() -> None:
    """A file that .dockerignore holds back would fail the build, and one that it lets through might be a secret."""
    first, *rest = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert first == "*"
    sent = {line.removeprefix("!") for line in rest if line.startswith("!")}
    stages = words(BUILD, "COPY") + [text for text in words(RUNTIME, "COPY") if "--from" not in text]
    copied = {source for text in stages for source in text.split()[:-1]}
    assert copied == sent
    assert all((ROOT / name).exists() for name in sent)
    assert not any(fnmatch(name, "*.env*") for name in sent)
