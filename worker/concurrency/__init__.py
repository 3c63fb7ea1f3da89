"""Greenlets and threads: concurrent calls, and blocking functions kept away from the event loop."""
