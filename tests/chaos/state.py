"""The content of the ledger and the evidence store after a run, read without the product's own code."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tests.chaos.leases import deeds
from tests.chaos.population import REGIONS
from tests.chaos.unsealing import Folder, NotOpened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis as redis_py

    from tests.chaos.leases import Deed
    from tests.chaos.watch import Key
    from tests.chaos.world import World
    from worker.keyring import NamedKey

#: A mark in every personal value and image of the sandbox.
PERSON = b"SANDBOX PERSON"


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a timeline."""

    at_ms: int
    event: str
    detail: str
    worker: str


@dataclass(frozen=True, slots=True)
class Record:
    """One verification in the ledger: the fields of its hash, its timeline, and the sets that contain it."""

    fields: dict[str, str]
    timeline: tuple[Moment, ...]
    places: tuple[str, ...]


@dataclass(slots=True)
class State:
    """The ledger of all regions, and the evidence."""

    records: dict[Key, Record] = field(default_factory=dict)
    #: By region: its counters, and the size of each of its sets.
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    sets: dict[str, dict[str, int]] = field(default_factory=dict)
    #: When each verification was due, claimed and begun.
    deeds: dict[Key, list[Deed]] = field(default_factory=dict)
    #: The faults in the evidence of each verification that has a folder; none: it is complete.
    evidence: dict[Key, list[str]] = field(default_factory=dict)
    #: The verifications in the log of each region, in the order of the log.
    logged: dict[str, list[str]] = field(default_factory=dict)
    #: Files that have readable personal data in them.
    leaks: list[str] = field(default_factory=list)


def gather(world: World) -> State:
    """Read the ledger and the evidence. Valkey must be available."""
    state = State()
    with world.valkey.client() as client:
        for region in REGIONS:
            _ledger(state, client, region)
    state.deeds = deeds(world.valkey.folder, round(world.profile.lease_s * 1000))
    for region in REGIONS:
        for folder in sorted((world.disk.evidence / region).glob("*")):
            state.evidence[region, folder.name] = _evidence_faults(folder, world.evidence_key)
        commits = sorted((world.disk.evidence / "log" / region / "commits").glob("*"))
        state.logged[region] = [name for commit in commits for name in json.loads(commit.read_bytes())["ids"]]
    # The evidence is encrypted, so nothing personal is readable in it either.
    state.leaks = [
        str(path.relative_to(world.folder))
        for path in sorted(world.folder.rglob("*"))
        if path.is_file() and PERSON in path.read_bytes()
    ]
    return state


def _ledger(state: State, client: redis_py.Redis, region: str) -> None:
    prefix = f"ekyc:{{{region}}}:"
    counters: dict[bytes, bytes] = client.hgetall(f"{prefix}counts")  # type: ignore[assignment]
    state.counters[region] = {name.decode(): int(number) for name, number in counters.items()}
    places: dict[str, list[str]] = {}
    sizes = state.sets[region] = {}
    names, ids = [], []
    for key in client.scan_iter(f"{prefix}*", count=1000):
        name = key.decode().removeprefix(prefix)
        if name.startswith("v:"):
            ids.append(name.removeprefix("v:"))
        elif name.startswith(("due:", "leased", "quarantine")):
            names.append(name)
    for name in sorted(names):
        members: Any = client.zrange(prefix + name, 0, -1)
        sizes[name] = len(members)
        for member in members:
            places.setdefault(member.decode(), []).append(name)
    for signature_id in ids:
        state.records[region, signature_id] = _record(
            client, prefix, signature_id, places.pop(signature_id, [])
        )
    for unknown, where in places.items():
        state.records[region, unknown] = Record({}, (), tuple(where))


def _record(client: redis_py.Redis, prefix: str, signature_id: str, places: list[str]) -> Record:
    with client.pipeline(transaction=False) as pipe:
        pipe.hgetall(f"{prefix}v:{signature_id}")
        pipe.lrange(f"{prefix}f:{signature_id}", 0, -1)
        pipe.lrange(f"{prefix}t:{signature_id}", 0, -1)
        fields, faults, steps = pipe.execute()
    timeline = merge(_moments(faults), _moments(steps), key=attrgetter("at_ms"))
    return Record(
        {name.decode(): value.decode() for name, value in fields.items()}, tuple(timeline), tuple(places)
    )


def _moments(lines: list[bytes]) -> Iterator[Moment]:
    for line in lines:
        # A line of a full list ends with a count.
        at_ms, event, detail, worker, *_ = line.decode().split("|")
        yield Moment(int(at_ms), event, detail, worker)


def _evidence_faults(folder: Path, key: NamedKey) -> list[str]:
    """Return a line for each fault in a verification's folder."""
    if not (folder / "manifest.json").exists():
        return ["there is no manifest"]
    try:
        return _faults_of(folder, Folder(folder, {key.id: key.secret}))
    except NotOpened as error:
        return [str(error)]


def _faults_of(folder: Path, opened: Folder) -> list[str]:
    manifest: dict[str, Any] = json.loads(opened.read("manifest.json"))
    faults = [] if manifest["complete"] else ["the manifest is not marked as complete"]
    if manifest["signature_id"] != folder.name:
        faults.append("the manifest is that of another verification")
    for entry in manifest["files"]:
        file = folder / entry["name"]
        if not file.exists():
            faults.append(f"{entry['name']} is missing")
        elif hashlib.sha256(opened.read(entry["name"])).hexdigest() != entry["sha256"]:
            faults.append(f"{entry['name']} does not match its hash")
    return faults + _against_answer(opened, manifest)


def _against_answer(opened: Folder, manifest: dict[str, Any]) -> list[str]:
    """Return the differences between the manifest and the kept answer: the result, and the images."""
    answer = json.loads(opened.read("answer.json"))["data"]
    names = {entry["name"] for entry in manifest["files"]}
    detail = answer["docDetail"] or {}
    wanted = {"answer.json"} | {
        f"{side}.jpg" for side in ("front", "back") if detail.get(f"doc{side.capitalize()}Image")
    }
    faults = [] if names == wanted else [f"{', '.join(sorted(names ^ wanted))}: not as named in the answer"]
    if (manifest["overall_result"], manifest["error_code"]) != (answer["overallResult"], answer["errorCode"]):
        faults.append("the manifest has another result than the answer")
    return faults
