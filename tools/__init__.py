"""Tools for this repository; they are not part of the package."""
