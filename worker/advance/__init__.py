"""The vendor: where it is, how it is asked, and what its answers mean."""
