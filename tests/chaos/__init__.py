"""The chaos suite: a fleet at work while faults are injected into all its dependencies. See `docs/chaos.md`."""
