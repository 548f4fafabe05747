"""Libraries that are extras."""


def need(module, extra):
    """Return a library, or say with which extra it comes."""
    try:
        return __import__(module)
    except ImportError as error:
        raise ImportError(
            f"This backbone needs {module}: pip install 'sklearn_hsfm[{extra}]'."
        ) from error
