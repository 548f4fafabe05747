"""How an estimator that holds a network is saved: pickled, and by skops with a word."""

import copyreg

from sklearn_hsfm._doc_link import DocLinkMixin
from sklearn_hsfm._version import VersionMixin


class WithNetworkMixin(VersionMixin, DocLinkMixin):
    """Pickle as every object does, but say why skops cannot save this one.

    skops asks for ``__reduce__``, and would fail at the first tensor, or when it is loaded.
    Whoever pickles or copies asks for ``__reduce_ex__``.
    """

    def __reduce__(self):
        """Refuse what would not come back."""
        raise TypeError(
            f"{type(self).__name__} holds a network, and skops saves none. Of a pipeline save the "
            "steps behind it, as skops.io.dump(pipe[1:], FILE), and the network's weights by "
            "safetensors; joblib.dump saves all of it, for readers who trust you."
        )

    def __reduce_ex__(self, protocol):
        """Return what every object does."""
        return copyreg.__newobj__, (type(self),), self.__getstate__()
