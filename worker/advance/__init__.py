"""The vendor: its hosts, its token, calls of its API, and the meaning of its answers."""
