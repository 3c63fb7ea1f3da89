"""Greenlets and threads: calls that run concurrently, and what blocks kept away from the event loop."""
