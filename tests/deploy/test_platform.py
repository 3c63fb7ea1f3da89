"""app.json, for platforms like Heroku."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.deploy.sources import PROCFILE, is_read
from tests.support.paths import ROOT

APP: Final[dict[str, Any]] = json.loads((ROOT / "app.json").read_text())

#: https://devcenter.heroku.com/articles/app-json-schema, as far as it is used here.
KEYS: Final = {"name", "description", "keywords", "stack", "buildpacks", "env", "formation"}


def test_it_has_the_keys_that_there_are() -> None:
    assert APP.keys() <= KEYS
    for variable in APP["env"].values():
        assert variable.keys() <= {"description", "value", "required"}
        assert all(isinstance(variable.get(key, ""), str) for key in ("description", "value"))


def test_it_has_the_processes_of_the_procfile() -> None:
    assert APP["formation"].keys() == PROCFILE.keys()
    assert APP["formation"]["worker"]["quantity"] > 0
    # These would be reached by anybody.
    assert APP["formation"]["web"]["quantity"] == APP["formation"]["flower"]["quantity"] == 0


def test_every_variable_is_read_and_no_secret_is_given() -> None:
    given = {name: variable["value"] for name, variable in APP["env"].items() if "value" in variable}
    assert given == {"CELERY_WORKER_LOGLEVEL": "INFO", "PYTHONPATH": "."}
    assert all(map(is_read, APP["env"].keys() - {"PYTHONPATH"}))


def test_what_it_installs_is_what_is_locked() -> None:
    comment, line = (ROOT / "requirements.txt").read_text().splitlines()
    assert comment.startswith("#")
    assert line == "-r requirements/run.lock"
