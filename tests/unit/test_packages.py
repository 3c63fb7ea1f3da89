"""The packages of the product: their licences, their bill of materials, and advisories about them."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from license_expression import get_spdx_licensing  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT
from tools import audit, sbom
from tools.packages import ALLOWED, STATED, Pinned, identifiers, licence, pinned

if TYPE_CHECKING:
    from pathlib import Path


def test_the_lock_file_pins_every_dependency_that_we_declare_with_its_hashes() -> None:
    packages = {each.name: each for each in pinned()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = (text for extra in project["optional-dependencies"].values() for text in extra)
    for text in (*project["dependencies"], *extras):
        declared = Requirement(text)
        assert declared.specifier.contains(packages[canonicalize_name(declared.name)].version), text
    assert all(each.sha256 and all(len(digest) == 64 for digest in each.sha256) for each in packages.values())


def test_every_package_has_a_licence_that_was_considered() -> None:
    for each in pinned():
        assert identifiers(licence(each.name)) <= ALLOWED, f"{each.name}: {licence(each.name)}"
        if not each.marker:
            assert version(each.name) == each.version, "install requirements/dev.lock"
    assert STATED.keys() <= {each.name for each in pinned()}


def test_a_package_without_a_known_licence_is_an_error() -> None:
    with pytest.raises(LookupError, match="is not installed"):
        licence("no-such-package-as-this")


def test_the_bill_of_materials_has_every_package_with_its_hashes_and_licence() -> None:
    made = sbom.bill()
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["metadata"]["component"]["name"] == "ekyc-worker"
    # The same lock file gives the same bill.
    assert not {"timestamp"} & made["metadata"].keys()
    assert "serialNumber" not in made
    components: dict[str, Any] = {canonicalize_name(each["name"]): each for each in made["components"]}
    assert components.keys() == {each.name for each in pinned()}
    licensing = get_spdx_licensing()
    for each in pinned():
        found = components[each.name]
        assert found["version"] == each.version
        assert found["purl"] == f"pkg:pypi/{each.name}@{each.version}"
        hashes = {
            digest["content"] for reference in found["externalReferences"] for digest in reference["hashes"]
        }
        assert hashes == each.sha256
        (stated,) = found["licenses"]
        if "license" in stated:
            assert "BSD" in identifiers(stated["license"]["name"])
        else:
            assert licensing.validate(stated["expression"]).errors == []


def advisory(folder: Path, name: str, **changes: object) -> None:
    text = {
        "id": f"PYSEC-2026-{name}",
        "aliases": ["CVE-2026-1"],
        "published": "2026-03-04T10:00:00Z",
        "affected": [
            {
                "package": {"name": "Example_Package", "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0.1"}]}],
                "versions": [],
            }
        ],
    } | changes
    (folder / "vulns" / "example-package").mkdir(parents=True, exist_ok=True)
    (folder / "vulns" / "example-package" / f"{name}.yaml").write_text(yaml.safe_dump(text))


@pytest.mark.parametrize(
    ("found_in", "affected"),
    [("1.0", True), ("2.0", True), ("2.0.1", False), ("2.0.1rc1", True), ("10.0", False)],
)
def test_an_advisory_affects_the_versions_of_its_ranges(
    tmp_path: Path, found_in: str, *, affected: bool
) -> None:
    advisory(tmp_path, "1")
    done = audit.audit(tmp_path, [Pinned("example-package", found_in, "", frozenset())])
    assert (done.read, done.newest, len(done.found)) == (1, "2026-03-04", int(affected))
    if affected:
        assert str(done.found[0]) == (f"example-package {found_in}: PYSEC-2026-1, CVE-2026-1: fixed in 2.0.1")


def test_listed_versions_count_withdrawn_advisories_and_other_packages_do_not(tmp_path: Path) -> None:
    package = Pinned("example-package", "3.0", "", frozenset())
    listed = {"package": {"name": "example-package"}, "versions": ["3.0"]}
    last = {
        "package": {"name": "example-package"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "2.9"}, {"last_affected": "3.0"}]}],
    }
    advisory(tmp_path, "listed", affected=[listed])
    advisory(tmp_path, "last", affected=[last])
    advisory(tmp_path, "withdrawn", affected=[listed], withdrawn="2026-05-01T00:00:00Z")
    advisory(tmp_path, "other", affected=[{**listed, "package": {"name": "other"}}])
    found = audit.audit(tmp_path, [package]).found
    assert {each.advisory for each in found} == {"PYSEC-2026-listed", "PYSEC-2026-last"}


def test_without_a_database_the_audit_says_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([]) == 2
    assert audit.main([str(tmp_path)]) == 2
    assert "make audit ADVISORIES=folder" in capsys.readouterr().err
