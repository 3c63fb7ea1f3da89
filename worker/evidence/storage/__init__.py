"""Where evidence is stored: folders on a disk and buckets, with the same guarantees."""
