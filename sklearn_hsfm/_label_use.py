"""What a method uses beyond the labels of its training rows, in words that tables print."""

from typing import NamedTuple


class LabelUse(NamedTuple):
    """Which labels beyond ``y`` a method uses when ``fit`` is given them.

    Attributes
    ----------
    training_groups : bool
        Groups of the training samples, to fit.
    validation_labels : bool
        Labels of the validation samples, to fit or to select.
    validation_groups_fit : bool
        Groups of the validation samples, to fit.
    validation_groups_select : bool
        Groups of the validation samples, to choose an epoch or a setting.

    Examples
    --------
    >>> from sklearn_hsfm.heads import DFRClassifier
    >>> print(DFRClassifier.uses)
    validation labels; validation groups to fit and select
    """

    training_groups: bool = False
    validation_labels: bool = False
    validation_groups_fit: bool = False
    validation_groups_select: bool = False

    def __str__(self):
        """Return the uses in words, as the tables print them."""
        to = [("fit", self.validation_groups_fit), ("select", self.validation_groups_select)]
        to = " and ".join(word for word, used in to if used)
        words = [
            "training groups" if self.training_groups else "",
            "validation labels" if self.validation_labels else "",
            f"validation groups to {to}" if to else "",
        ]
        return "; ".join(filter(None, words)) or "nothing"
