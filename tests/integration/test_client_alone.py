"""`worker.client` at work in an interpreter in which no package but redis can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: Refuses the import of every package but redis and those that redis has imported itself.
PROGRAM = """
import json, sys
import redis.backoff, redis.retry
known = {name.partition(".")[0] for name in sys.modules} | {"worker", "redis"} | set(sys.stdlib_module_names)

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in known:
            raise ModuleNotFoundError(f"refused: {name}", name=name)

sys.meta_path.insert(0, Refuse())

from worker import client
from worker.errors import ConfigError, InvalidInput

found = {"new": client.enqueue("alone-1", "PH", context={"application": 42})}
found["many"] = client.enqueue_many([client.request("alone-1", "ph"), client.request("alone-2", "ph")])
found["nudged"] = client.nudge("alone-2", "ph")
for name, arguments in {"id": ("a b", "ph"), "region": ("a", "mars"), "unpolled": ("a", "sg")}.items():
    try:
        client.enqueue(*arguments)
    except InvalidInput as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("EKYC_", "ADVANCE_"))}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False,
        env=env | {"ADVANCE_REGIONS": "ph"} | environment,
    )  # fmt: skip


def test_a_pipeline_enqueues_and_nudges_without_any_other_package(redis_url: str) -> None:
    done = run(PROGRAM, REDIS_URL=redis_url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "new": True,
        "many": [False, True],
        "nudged": True,
        "id": "signature_id: must be 1 to 64 of letters, digits, - and _",
        "region": "region: unknown region, use one of sg, ph, th, my, vn, global",
        "unpolled": "region: sg is not in ADVANCE_REGIONS, so no worker would poll it",
    }


def test_the_refusal_of_other_packages_works(redis_url: str) -> None:
    done = run(PROGRAM.replace("from worker import client", "import marshmallow"), REDIS_URL=redis_url)
    assert "refused: marshmallow" in done.stderr


def test_the_settings_of_the_client_are_those_of_the_fleet(redis_url: str, tmp_path: Path) -> None:
    """From a file, too; and what is wrong in any of them is a line each."""
    (tmp_path / "url").write_text(f"{redis_url}\n")
    assert run(PROGRAM, REDIS_URL="redis://nowhere:1/0", REDIS_URL_FILE=str(tmp_path / "url")).returncode == 0
    done = run(PROGRAM, REDIS_URL=redis_url, EKYC_RATE="fast", ADVANCE_REGIONS="mars", EKYC_BATCHES="7")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-3:]
    assert [line.removeprefix("worker.errors.ConfigError: ") for line in last] == [
        "ADVANCE_REGIONS: unknown region, use one of sg, ph, th, my, vn, global",
        "EKYC_RATE: must be a number",
        "EKYC_BATCHES: there is no such setting: did you mean EKYC_BATCH?",
    ]
