"""What a Python pipeline loads with `worker.client`: this package, redis, and the standard library."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.paths import ROOT

#: The modules of the client that belong to no one of the three, and are not there because redis imports them.
PROGRAM = """
import json, sys
import redis.backoff, redis.retry
with_redis = set(sys.modules)
import worker.client
loaded = {name.partition(".")[0] for name in set(sys.modules) - with_redis}
ours = {name for name in sys.modules if name.startswith("worker")}
print(json.dumps([sorted(loaded - {"worker", "redis"} - set(sys.stdlib_module_names)), len(ours)]))
"""


def test_the_client_loads_no_package_but_redis() -> None:
    """In a fresh interpreter: this one has loaded everything."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    others, ours = json.loads(done.stdout)
    assert others == []
    assert ours > 5
