"""The version, apart from the imports, so that a build can read it without torch."""

__version__ = "0.1.0"
