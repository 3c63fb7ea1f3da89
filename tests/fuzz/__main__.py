"""Random answers for a quarter of the time, then random damage on connections for the rest.

python -m tests.fuzz [--seconds 80] [--seed N]
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.fuzz import answers, http


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=80.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    read = answers.run(arguments.seed, arguments.seconds / 4)
    sys.stdout.write(
        f"answers, seed {arguments.seed}: {read.answers}, of them {read.approved} approved; "
        f"the slowest took {read.slowest_s:.3f} s\n"
    )
    called = http.run(arguments.seed, arguments.seconds * 3 / 4)
    sys.stdout.write(f"http, seed {arguments.seed}: {called.calls} calls, {called.whole} whole\n")
    sys.exit("\n".join([*read.broken, *called.broken]) or None)


if __name__ == "__main__":
    main()
