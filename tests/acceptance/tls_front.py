"""TLS before a Valkey that has none: what comes in is passed on, byte for byte."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Iterator

CHUNK_BYTES = 65536


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key; who names it as a CA trusts it."""
    openssl = which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    file, key = folder / "ca.pem", folder / "key.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=redis -addext subjectAltName=IP:127.0.0.1"
    command = [openssl, *request.split(), "-keyout", str(key), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file


@contextmanager
def tls_front(file: Path, behind_port: int) -> Iterator[int]:
    """The port on which the server at `behind_port` is reached by TLS, by a process of its own."""
    command = [sys.executable, "-m", __name__, str(file), str(behind_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def _serve(file: Path, behind_port: int) -> None:
    async def pass_on(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def meet(reader: StreamReader, writer: StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", behind_port)
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, file.with_name("key.pem"))
    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
