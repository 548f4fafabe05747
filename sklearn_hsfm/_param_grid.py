"""The settings of a ``param_grid``, each value checked before anything is fitted."""

from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import ParameterGrid


def settings_of(param_grid, required, optional, may_be_none):
    """Return the settings of a grid as a list of dict.

    Parameters
    ----------
    param_grid : dict or list of dict
        Values to try, a list for each name.
    required : set of str
        Names that a setting must give: positive numbers.
    optional : dict
        Names that it may give, positive integers, with what those get that do not while others do.
    may_be_none : set of str
        Names whose value may be None.
    """
    try:
        settings = list(ParameterGrid(param_grid))
    except (TypeError, ValueError) as error:
        raise ValueError(f"param_grid={param_grid!r} is no grid: {error}") from error
    if not settings:
        raise ValueError(f"param_grid={param_grid!r} has no setting; give one or more.")
    for setting in settings:
        missing, unknown = required - setting.keys(), setting.keys() - required - optional.keys()
        if missing or unknown:
            raise ValueError(
                f"param_grid has a setting of {sorted(setting)}; it must give {sorted(required)}, "
                f"and may give {sorted(optional)}, each as a list of values."
            )
        for name, value in setting.items():
            if value is None and name in may_be_none:
                continue
            if value is None and name == "C":
                raise ValueError("param_grid has C=None, which stands for init_head; give one.")
            kind, wanted = Real, "positive and finite"
            if name in optional:
                kind, wanted = Integral, "an int of 1 or more"
            number = isinstance(value, kind) and not isinstance(value, bool | np.bool_)
            if not (number and np.isfinite(value) and value > 0):
                raise ValueError(f"param_grid has {name}={value!r}; it must be {wanted}.")
    given = {name for setting in settings for name in setting} & optional.keys()
    return [{**{name: optional[name] for name in sorted(given)}, **s} for s in settings]
