"""The version, apart from the imports, so that a build can read it without torch."""

__version__ = "0.1.0"
# Where the documentation can be read, with the last slash. While it is empty, the drawings of
# estimators in notebooks have no link; `_doc_link.py` makes one of it.
__site__ = ""
