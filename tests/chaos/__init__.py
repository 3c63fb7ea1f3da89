"""The chaos suite: a fleet at work while everything it stands on is broken on purpose. See `docs/chaos.md`."""
