"""Names for the annotations that repeat; what they name is loaded by no import of the package."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

_T = TypeVar("_T")


class Estimator(Protocol):
    """What scikit-learn can clone and fit."""

    def fit(self, *args: Any, **params: Any) -> Any:
        """Fit."""

    def get_params(self, deep: bool = ...) -> dict[str, Any]:
        """Return the parameters."""


class Classifier(Estimator, Protocol):
    """An estimator that predicts: a classifier, a `Pipeline` that ends in one, a search."""

    @property
    def predict(self) -> Any:  # Pipeline and searches have it as a descriptor
        """Predict."""


FilePath: TypeAlias = str | PathLike[str]
ImagesLike: TypeAlias = Any  # a folder, paths, an array, a tensor, PIL images, or a Dataset
OneOrSeveral: TypeAlias = _T | Sequence[_T]  # a value, or those to choose from
Progress: TypeAlias = bool | Literal["auto"]
RandomStateLike: TypeAlias = int | np.random.RandomState | None
Rule: TypeAlias = Callable[..., float]  # called as rule(y, log_proba, groups)
Selection: TypeAlias = (
    Literal["auto", "worst_group", "worst_class", "accuracy", "tail_loss", "last"] | Rule
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from torch import device, dtype
    from torch.nn import Linear, Module

    BackboneLike: TypeAlias = str | Module | Estimator
    Device: TypeAlias = str | device
    Dtype: TypeAlias = str | dtype
    Head: TypeAlias = Estimator | Module | tuple[ArrayLike, ArrayLike]
else:
    Axes = BackboneLike = DataFrame = Device = Dtype = Figure = Head = Linear = Module = Any

__all__ = [
    "ArrayLike",
    "Axes",
    "BackboneLike",
    "Classifier",
    "DataFrame",
    "Device",
    "Dtype",
    "Estimator",
    "Figure",
    "FilePath",
    "Head",
    "ImagesLike",
    "Linear",
    "Module",
    "OneOrSeveral",
    "Progress",
    "RandomStateLike",
    "Rule",
    "Selection",
]
