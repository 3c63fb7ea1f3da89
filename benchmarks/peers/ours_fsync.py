"""Ours with each file of the evidence synced by itself: the difference to ours as it is shows what `syncfs` saves.

Takes the arguments of `celery`.
"""

from __future__ import annotations

from celery.__main__ import main

from worker.evidence.storage import durability


def choose(root: str) -> durability.Durability:
    del root
    return durability.FileSync()


durability.choose = choose

if __name__ == "__main__":
    main()
