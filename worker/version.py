"""The version of this project: of the distribution, in reports and in traces."""

__version__ = "0.1.0"
