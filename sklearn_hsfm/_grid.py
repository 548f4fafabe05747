"""The settings that HSFMClassifierCV fits."""

import numpy as np
from sklearn.model_selection import ParameterGrid

_DEFAULT = {"C": [1e-3, 1e-2, 1e-1], "inner_lr": [1e-3, 1e-2], "outer_lr": [0.2]}
_REQUIRED, _OPTIONAL = {"C", "inner_lr", "outer_lr"}, {"T", "Khard"}


def settings_of(grid, init_head):
    """Return the settings of a grid, checked, as a list of dict."""
    if isinstance(grid, str):
        grid = [_DEFAULT]
        if init_head is not None:
            grid = [{**_DEFAULT, "C": [*_DEFAULT["C"], None]}]
    settings = list(ParameterGrid(grid))
    for setting in settings:
        missing, unknown = _REQUIRED - setting.keys(), setting.keys() - _REQUIRED - _OPTIONAL
        if missing or unknown:
            raise ValueError(
                f"param_grid has a setting of {sorted(setting)}; it must give "
                f"{sorted(_REQUIRED)}, and may give {sorted(_OPTIONAL)}, each as a list "
                "of values."
            )
        if setting["C"] is None and init_head is None:
            raise ValueError("param_grid has C=None, which stands for init_head; give one.")
        for name, value in setting.items():
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ValueError(f"param_grid has {name}={value!r}; it must be positive.")
            if name in _OPTIONAL and value != int(value):
                raise ValueError(f"param_grid has {name}={value!r}; it must be an int.")
    return settings
