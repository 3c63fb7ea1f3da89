"""The pipeline: a process that enqueues, and says when it began and when it was done.

    python -m benchmarks.bench.feed MODULE PREFIX COUNT [--first N] [--per-second N]

`MODULE` has an `enqueue`. Ids are `PREFIX` and a number of eight digits, from `N` on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time


def signature_id(prefix: str, number: int) -> str:
    """The id with this number."""
    return f"{prefix}{number:08d}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("module")
    parser.add_argument("prefix")
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0, help="the number of the first id (default: 0)")
    parser.add_argument(
        "--per-second", type=float, help="one by one at this rate; without: as fast as it goes"
    )
    arguments = parser.parse_args()
    enqueue = importlib.import_module(arguments.module).enqueue
    numbers = range(arguments.first, arguments.first + arguments.count)
    signature_ids = [signature_id(arguments.prefix, number) for number in numbers]
    began_at = time.time()
    if arguments.per_second is None:
        enqueue(signature_ids)
    else:
        for number, name in enumerate(signature_ids):
            time.sleep(max(0.0, began_at + number / arguments.per_second - time.time()))
            print(json.dumps({"id": name, "at": time.time()}))
            enqueue([name])
    print(json.dumps({"began_at": began_at, "ended_at": time.time()}), flush=True)


if __name__ == "__main__":
    main()
