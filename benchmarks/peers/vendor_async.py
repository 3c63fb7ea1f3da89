"""The vendor's calls with aiohttp: one session, and one token, for each process."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

import aiohttp

from benchmarks.peers import job

TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


class Vendor:
    """Use it within `async with`."""

    def __init__(self) -> None:
        self._token = ""
        self._minting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        # The default of 100 connections would hold back a process that has more under way.
        self._http = aiohttp.ClientSession(timeout=TIMEOUT, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def get_result(self, signature_id: str) -> bytes:
        """Ask once."""
        headers = {"X-ACCESS-TOKEN": self._token or await self._minted()}
        asked = {"signatureId": signature_id}
        async with self._http.post(job.RESULT_URL, json=asked, headers=headers) as answer:
            answer.raise_for_status()
            body: bytes = await answer.read()
        return body

    async def image(self, url: str) -> bytes:
        async with self._http.get(url) as answer:
            answer.raise_for_status()
            body: bytes = await answer.read()
        return body

    async def _minted(self) -> str:
        # Those that begin together need one token, not one each.
        async with self._minting:
            if not self._token:
                async with self._http.post(job.TOKEN_URL, json=job.credentials()) as answer:
                    body: dict[str, Any] = await answer.json()
                self._token = body["data"]["token"]
        return self._token
