"""taskiq with aiohttp, as its documentation teaches: its Redis stream broker, and for a null its scheduler.

Besides the workers it needs the scheduler's own process.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqScheduler, TaskiqState
from taskiq.kicker import AsyncKicker
from taskiq_redis import ListRedisScheduleSource, RedisStreamBroker

from benchmarks.peers import job
from benchmarks.peers.vendor_async import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterable

broker = RedisStreamBroker(url=job.REDIS_URL)
source = ListRedisScheduleSource(url=job.REDIS_URL)
scheduler = TaskiqScheduler(broker, [source])


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def _connect(state: TaskiqState) -> None:
    state.vendor = await Vendor().__aenter__()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def _disconnect(state: TaskiqState) -> None:
    await state.vendor.__aexit__()


def _vendor(context: Annotated[Context, TaskiqDepends()]) -> Vendor:
    vendor: Vendor = context.state.vendor
    return vendor


@broker.task
async def get_result(
    signature_id: str, polls: int = 1, *, vendor: Annotated[Vendor, TaskiqDepends(_vendor)]
) -> None:
    raw = await vendor.get_result(signature_id)
    data = job.result(json.loads(raw))
    if data is None:
        due_at = datetime.now(UTC) + timedelta(seconds=job.COUNTDOWN_S)
        await get_result.kicker().schedule_by_time(source, due_at, signature_id, polls + 1)
        return
    await job.keep_async(signature_id, "answer.json", raw)
    await archive_images.kiq(signature_id, data, polls)


@broker.task
async def archive_images(
    signature_id: str, data: dict[str, Any], polls: int, *, vendor: Annotated[Vendor, TaskiqDepends(_vendor)]
) -> None:
    for side, url in job.links(data).items():
        await job.keep_async(signature_id, f"{side}.jpg", await vendor.image(url))
    await route_decision.kiq(signature_id, data, polls)


@broker.task
async def route_decision(signature_id: str, data: dict[str, Any], polls: int) -> None:
    decided = job.decision(signature_id, data, polls)
    task: AsyncKicker[Any, Any] = AsyncKicker(
        task_name=decided["decision"], broker=broker, labels={"queue_name": "onboarding"}
    )
    await task.kiq(decision=decided)


def enqueue(signature_ids: Iterable[str]) -> None:
    asyncio.run(_enqueue(signature_ids))


async def _enqueue(signature_ids: Iterable[str]) -> None:
    await broker.startup()
    for signature_id in signature_ids:
        await get_result.kiq(signature_id)
    await broker.shutdown()
