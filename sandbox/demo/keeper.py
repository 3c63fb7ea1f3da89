"""Kills the process group that it leads as soon as the demo has ended, also after `kill -9`.

It runs as a script whose standard input is the reading end of a pipe from the demo: the pipe closes when the demo
ends. Only Linux has a way without such a process (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    # Signals to the group are for the other processes.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
