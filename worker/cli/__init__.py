"""The console command `ekyc`. Each command has a module, which is imported when the command runs.

Exit status of `ekyc`: 0 success, 1 a failure or skipped input, 2 invalid input, 130 Ctrl-C.

Nothing is imported with this package: Ctrl-C while click is imported must end the command as it does later.
"""

from __future__ import annotations

import sys
from typing import Final

INTERRUPTED: Final = 130


def main() -> None:
    """The console command. Ends the process."""
    try:
        from worker.cli import program  # noqa: PLC0415 - see above

        code = program.main(sys.argv[1:])
    except KeyboardInterrupt:
        print("ekyc: interrupted", file=sys.stderr)  # noqa: T201
        code = INTERRUPTED
    sys.exit(code)
