"""The one place that imports names scikit-learn keeps private, stable from 1.6 to 1.9."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from sklearn.utils import _param_validation, validation
from sklearn.utils._param_validation import HasMethods, StrOptions

if TYPE_CHECKING:  # scikit-learn's have no types, and would take them from what they decorate
    _F = TypeVar("_F", bound=Callable[..., Any])

    def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[_F], _F]: ...

    def validate_params(
        parameter_constraints: dict[str, Any], *, prefer_skip_nested_validation: bool
    ) -> Callable[[_F], _F]: ...
else:
    from sklearn.base import _fit_context
    from sklearn.utils._param_validation import validate_params

__all__ = [
    "HasMethods",
    "Interval",
    "Several",
    "StrOptions",
    "_fit_context",
    "one_or_several",
    "validate_data",
    "validate_params",
]


def validate_data(*args, **options):
    """Call scikit-learn's, which looks for infinity by a sum, without numpy's word on that sum."""
    with np.errstate(over="ignore", invalid="ignore"):
        return validation.validate_data(*args, **options)


class Interval(_param_validation.Interval):
    """Constraint of a parameter that is a number in an interval; True and False are none."""

    def is_satisfied_by(self, val):
        """Return whether a value of the parameter is allowed."""
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


class Several(Interval):
    """Constraint of a parameter that is a tuple or list of one or more numbers in an interval."""

    def is_satisfied_by(self, val):
        """Return whether a value of the parameter is allowed."""
        several = isinstance(val, tuple | list) and len(val) > 0
        return several and all(super(Several, self).is_satisfied_by(one) for one in val)

    def __str__(self):
        """Return what is allowed, in words."""
        return f"a tuple or list of one or more values, each {super().__str__()}"


def one_or_several(interval):
    """Return the constraints of a parameter that is a number, or several to choose from."""
    several = Several(interval.type, interval.left, interval.right, closed=interval.closed)
    return [interval, several]
