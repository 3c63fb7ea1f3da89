"""The page of licences, from the lock file and the metadata of the installed packages."""

from __future__ import annotations

from tools.docs.page import code, generated, table
from tools.packages import licence, pinned

_INTRO = """
The packages that the product installs, at the versions of `requirements/run.lock`, with the licence that each one
states. `BSD` means that a package does not say which variant it has. Where a licence offers a choice (`OR`), we use the
first that is not a copyleft licence. `make sbom` writes the same list as a bill of materials in the CycloneDX format,
with the hashes of every file, to `build/sbom.cdx.json`.

The list has every extra: a plain `pip install ekyc-worker` installs fewer.
"""


def page() -> str:
    packages = pinned()
    rows = [
        [each.name, each.version, licence(each.name), code(each.marker) if each.marker else ""]
        for each in packages
    ]
    counts: dict[str, int] = {}
    for _, _, text, _ in rows:
        counts[text] = counts.get(text, 0) + 1
    summary = [
        [text, str(count)] for text, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    ]
    return generated(
        "Licences",
        _INTRO,
        "## By licence\n\n" + table(["licence", "packages"], summary),
        "## Every package\n\n" + table(["package", "version", "licence", "only for"], rows),
        source="`requirements/run.lock` and the metadata of the installed packages",
    )
