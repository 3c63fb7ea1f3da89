"""A TLS proxy in front of a Valkey without TLS: it forwards all bytes unchanged."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.certificates import server_side

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Iterator

CHUNK_BYTES = 65536


@contextmanager
def tls_front(file: Path, behind_port: int) -> Iterator[int]:
    """Yield the port of a TLS proxy process for the server at `behind_port`, with the certificate in `file`."""
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

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=server_side(file))
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
