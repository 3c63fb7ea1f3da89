"""Polls per verification against delay of the decision: our countdowns and those that people write instead.

    python -m benchmarks.schedule [--write]

Pure: nothing is polled, no time passes, and the same numbers come every time.
"""
