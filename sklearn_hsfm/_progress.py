"""The bar of whatever takes long."""

from tqdm.auto import tqdm

from sklearn_hsfm._compat import StrOptions

PROGRESS = [StrOptions({"auto"}), "boolean"]  # constraint of the parameter


def bar(progress, iterable=None, **labels):
    """Return a bar, in terminals only if ``progress`` is "auto"."""
    return tqdm(iterable, disable={"auto": None, True: False, False: True}[progress], **labels)
