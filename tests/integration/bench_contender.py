"""A contender of the benchmark that does the job wrong on demand: `python -m tests.integration.bench_contender`.

What it does wrong is said by the Redis key `fault`; `none` is nothing.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import redis as redis_py

from benchmarks.peers import job, vendor

if TYPE_CHECKING:
    from collections.abc import Iterable


def enqueue(signature_ids: Iterable[str]) -> None:
    with redis_py.Redis.from_url(job.REDIS_URL) as redis:
        redis.rpush("ids", *signature_ids)


def main() -> None:
    with redis_py.Redis.from_url(job.REDIS_URL) as redis:
        while True:
            taken: Any = redis.blpop(["ids"])
            fault = redis.get("fault")
            assert isinstance(fault, bytes)
            verify(redis, taken[1].decode(), fault.decode())


def verify(redis: redis_py.Redis, signature_id: str, fault: str) -> None:
    last = not redis.llen("ids")
    if fault == "loses" and last:
        return
    answer = vendor.get_result(signature_id)
    if fault == "asks once more" and last:
        vendor.get_result(signature_id)
    job.keep(signature_id, "answer.json", answer.content)
    data: Any = job.result(answer.json())
    for side, url in job.links(data).items():
        image = b"" if fault == "no images" else vendor.image(url)
        job.keep(signature_id, f"{side}.jpg", image[:-1] if fault == "cut off" else image)
    decision = json.dumps(job.decision(signature_id, data, 1))
    redis.lpush("onboarding", decision)
    if fault == "decides twice":
        redis.lpush("onboarding", decision)
    if fault == "decides late again" and last:
        time.sleep(0.2)
        redis.lpush("onboarding", decision)


if __name__ == "__main__":
    main()
