"""The bare limit: asyncio and aiohttp, the same calls and the same files, and no queue that would survive anything.

A process takes ids straight from a socket. Countdowns are timers in its memory, decisions go to a list in Redis.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import uvloop
from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.peers import job
from benchmarks.peers.vendor_async import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedWriter

#: Verifications under way at a time, beside those that wait for their countdown.
CONCURRENCY: Final = 1024

#: One unix socket for each process, with commas between.
SOCKETS: Final = os.environ["BENCH_SOCKETS"].split(",")


class Bare:
    def __init__(self, vendor: Vendor, redis: Redis) -> None:
        self._vendor = vendor
        self._redis = redis
        self._hands = asyncio.Semaphore(CONCURRENCY)

    async def verify(self, signature_id: str) -> None:
        polls = 0
        while True:
            async with self._hands:
                polls += 1
                raw = await self._vendor.get_result(signature_id)
                data = job.result(json.loads(raw))
                if data is not None:
                    await job.keep_async(signature_id, "answer.json", raw)
                    for side, url in job.links(data).items():
                        await job.keep_async(signature_id, f"{side}.jpg", await self._vendor.image(url))
                    await self._redis.lpush("onboarding", job.dumps(job.decision(signature_id, data, polls)))
                    return
            await asyncio.sleep(job.COUNTDOWN_S)


async def serve(path: str) -> None:
    pool = BlockingConnectionPool.from_url(job.REDIS_URL, max_connections=16, timeout=None)
    async with Vendor() as vendor, Redis.from_pool(pool) as redis:
        bare = Bare(vendor, redis)
        under_way: set[asyncio.Task[None]] = set()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async for line in reader:
                task = asyncio.create_task(bare.verify(line.decode().strip()))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            writer.close()

        server = await asyncio.start_unix_server(take, path)
        await server.serve_forever()


def enqueue(signature_ids: Iterable[str]) -> None:
    """Hand the ids out in turn."""
    streams = [_connected(path) for path in SOCKETS]
    for number, signature_id in enumerate(signature_ids):
        streams[number % len(streams)].write(f"{signature_id}\n".encode())
    for stream in streams:
        stream.close()


def _connected(path: str) -> BufferedWriter:
    for _ in range(300):  # half a minute for the process to come up
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(path)
            except OSError:
                time.sleep(0.1)
            else:
                return connection.makefile("wb")
    raise TimeoutError("nobody takes ids")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(serve(sys.argv[1]))
