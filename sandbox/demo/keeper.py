"""Ends the process group it leads as soon as the demo is gone, however the demo went: by `kill -9`, too.

Run as a script, alone, with the reading end of a pipe from the demo as its standard input: where the demo ends, the
pipe does. Of the Unixes Linux alone could promise as much without it (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    # Signals to the group are not meant for its keeper.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
