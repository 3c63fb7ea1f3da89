"""Evidence storage: local folders and buckets, with the same guarantees."""
