"""The parts of an export: a stream that is a tar file, a file that appears whole, and encryption in pieces."""

from __future__ import annotations

import errno
import os
import tarfile
import tempfile
import tracemalloc
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pyrage  # type: ignore[import-untyped]
import pytest

from worker.errors import InvalidInput
from worker.records import new_file as files
from worker.records.encrypting import parse_recipients, write
from worker.records.new_file import new_file
from worker.records.tar import MTIME, TarStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODIES = {"a": b"", "b/c.json": b"x" * 511, "ph/" + "i" * 64 + "/front.jpg": b"y" * 512, "d": b"z" * 100_000}


def archive(bodies: dict[str, bytes]) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as sums:
        tar = TarStream(sums)
        for name, body in bodies.items():
            yield from tar.member(name, body)
        yield from tar.sums_member("SHA256SUMS")
        yield from tar.end()


def test_the_stream_is_a_tar_file_with_the_sums_of_its_members() -> None:
    raw = b"".join(archive(BODIES))
    assert len(raw) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=BytesIO(raw)) as found:
        assert {member.mtime for member in found.getmembers()} == {MTIME}
        bodies = {member.name: (found.extractfile(member) or BytesIO()).read() for member in found}
    sums = "".join(f"{sha256(body).hexdigest()}  {name}\n" for name, body in BODIES.items())
    assert bodies == BODIES | {"SHA256SUMS": sums.encode()}


@pytest.mark.parametrize("recipients", [0, 1])
def test_memory_does_not_grow_with_the_archive(recipients: int, tmp_path: Path) -> None:
    keys = [pyrage.x25519.Identity.generate().to_public() for _ in range(recipients)]
    body = os.urandom(1 << 20)

    def peak_of(count: int) -> int:
        tracemalloc.start()
        with (tmp_path / f"{count}").open("wb") as file, tempfile.TemporaryFile() as sums:
            tar = TarStream(sums)
            write((piece for number in range(count) for piece in tar.member(f"{number}", body)), file, keys)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_of(32) < peak_of(1) + (1 << 20)
    assert (tmp_path / "32").stat().st_size > 32 << 20


def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch


def temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, which has no files without a name."""
    monkeypatch.setattr(files, "_NAMELESS", 0)


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on vfat, which has no hard links either."""
    temporary(monkeypatch)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


systems = pytest.mark.parametrize("system", [nameless, temporary, without_links])


@systems
def test_a_file_appears_whole_and_for_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: Callable[[pytest.MonkeyPatch], None]
) -> None:
    system(monkeypatch)
    path = tmp_path / "new"
    with new_file(path) as file:
        file.write(b"body")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"body"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


@systems
def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: Callable[[pytest.MonkeyPatch], None]
) -> None:
    system(monkeypatch)
    path = tmp_path / "new"
    with (  # noqa: PT012 - what happens in the block is the test
        pytest.raises(InvalidInput, match="is not replaced"),
        new_file(path) as file,
    ):
        file.write(b"body")
        path.write_bytes(b"mine")
    assert path.read_bytes() == b"mine"
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


@systems
def test_a_block_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: Callable[[pytest.MonkeyPatch], None]
) -> None:
    system(monkeypatch)
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "new") as file:  # noqa: PT012 - see above
        file.write(b"body")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_dangling_link_counts_as_taken(tmp_path: Path) -> None:
    (tmp_path / "new").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="is not replaced"), new_file(tmp_path / "new"):
        pytest.fail("it is taken")


def test_errors_of_pieces_and_of_the_file_come_through_encryption() -> None:
    recipient = pyrage.x25519.Identity.generate().to_public()

    def interrupted() -> Iterator[bytes]:
        yield b"one"
        raise KeyboardInterrupt

    class Full(BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(KeyboardInterrupt):
        write(interrupted(), BytesIO(), [recipient])
    with pytest.raises(OSError, match="No space left on device"):
        write([b"one"] * 100_000, Full(), [recipient])


def test_recipients_are_public_keys_and_a_bad_one_is_not_quoted() -> None:
    identity = pyrage.x25519.Identity.generate()
    (found,) = parse_recipients([f" {identity.to_public()} "])
    target = BytesIO()
    write([b"one", b"", b"two"], target, [found])
    assert pyrage.decrypt(target.getvalue(), [identity]) == b"onetwo"
    with pytest.raises(InvalidInput) as caught:
        parse_recipients([str(identity.to_public()), str(identity), "", "ssh-rsa x"])
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [f"--recipient number {number}" for number in (2, 3, 4)]
    assert str(identity) not in str(caught.value)
