"""Evidence: the vendor's raw answer, the images, and a manifest with their hashes. Each is written once."""
