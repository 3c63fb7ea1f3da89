"""Write the bill of materials of the product, in the CycloneDX format: `make sbom`.

`cyclonedx-py` makes it from `requirements/run.lock`, so it has the version and the hashes of every file that pip
accepts. We add the licences.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tools.docs.page import ROOT
from tools.packages import LOCK, identifiers, licence

TARGET: Final = ROOT / "build" / "sbom.cdx.json"


def bill() -> dict[str, Any]:
    """Return the bill of materials. The same lock file gives the same bill."""
    command = [
        *(sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements", str(LOCK)),
        *("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--spec-version", "1.6"),
        # Not before the licences are in it.
        "--no-validate",
    ]
    made: dict[str, Any] = json.loads(
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    )
    for component in made["components"]:
        expression = licence(component["name"])
        # "BSD" is not a licence of the SPDX list, so it is a name.
        component["licenses"] = (
            [{"license": {"name": expression}}]
            if "BSD" in identifiers(expression)
            else [{"expression": expression}]
        )
        # It repeats the line of the lock file.
        component.pop("description", None)
    return made


def fault_of(text: str) -> object:
    """Return what the schema of CycloneDX refuses in a bill; None: nothing."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


def main(arguments: list[str]) -> int:
    """Write the bill to a file, by default `build/sbom.cdx.json`."""
    target = Path(arguments[0]) if arguments else TARGET
    made = bill()
    text = json.dumps(made, indent=2) + "\n"
    if fault := fault_of(text):
        print(f"the bill does not match the schema of CycloneDX: {fault}", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    print(f"wrote {target}: {len(made['components'])} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
