"""A client that can write to Redis, knows our code, and holds no key of the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celery import Celery

from worker.ledger.fields import Field
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

#: The one whom the attacker wants to be approved, and what the vendor says about them.
TARGET: Final = "ID_FORGERY_DETECTED-1"

#: The fields of an outcome that approves.
PASSED: Final = {
    Field.OVERALL_RESULT: "PASS",
    Field.ERROR_CODE: "SUCCESS",
    Field.FACTS: "{}",
    Field.REASON: "",
}

#: Those of a decision.
DECIDED: Final = (
    *(Field.DECISION, Field.DECISION_NAME, Field.DECISION_SEAL, Field.DECISION_SIGNATURE, Field.DELIVERIES),
)


@dataclass
class Attacker:
    """Writes to Redis."""

    redis: Redis
    url: str

    def fields(self, name: str, region: str = "ph") -> dict[Field, str]:
        found: Any = self.redis.hgetall(f"{prefix(region)}v:{name}")
        return {field: found[field.key].decode() for field in Field if field.key in found}

    def write(self, fields: Mapping[Field, str], name: str = TARGET, region: str = "ph") -> None:
        """Set fields, or remove those that are empty."""
        key = f"{prefix(region)}v:{name}"
        self.redis.persist(key)
        for field, value in fields.items():
            if value:
                self.redis.hset(key, field.value, value)
            else:
                self.redis.hdel(key, field.value)

    def make_due(self, stage: str, name: str = TARGET, region: str = "ph") -> None:
        """Have a worker take it at a stage."""
        self.write({Field.STAGE: stage, Field.HOLDER: "", Field.STARTS: ""}, name, region)
        for each in ("polling", "archiving", "routing"):
            self.redis.zrem(f"{prefix(region)}due:{each}", name)
        self.redis.zrem(f"{prefix(region)}leased", name)
        self.redis.zadd(f"{prefix(region)}due:{stage}", {name: 1})

    def send(self, task: str, *arguments: Any, queue: str = "celery") -> None:
        with Celery("attacker", broker=self.url) as app:
            app.send_task(task, args=arguments, queue=queue)
