"""The tag of an estimator whose prediction for a row depends on the rows beside it."""

from dataclasses import dataclass, fields

from sklearn.utils import Tags


@dataclass
class TransductiveTags(Tags):
    """Tags of an estimator for which the samples of ``predict`` are one batch.

    Attributes
    ----------
    transductive : bool
        Whether the prediction for a sample depends on the other samples of the call, so that
        predictions of parts are not parts of the prediction.

    Examples
    --------
    >>> from sklearn.utils import get_tags
    >>> from sklearn_hsfm.environments import EnvironmentAdaptiveRegressor
    >>> get_tags(EnvironmentAdaptiveRegressor()).transductive
    True
    """

    transductive: bool = True


def transductive(tags):
    """Return tags, with that one added."""
    return TransductiveTags(**{field.name: getattr(tags, field.name) for field in fields(tags)})
