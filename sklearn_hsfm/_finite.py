"""Outputs that are not finite are refused, with the sample that they are of."""

import numpy as np


def finite_outputs(outputs, said_of):
    """Return outputs (n_samples, n_outputs) as they are, if all of them are finite.

    ``said_of(row)`` begins the message of the error, of the first sample that has others.
    """
    if not np.isfinite(outputs).all():
        row = int((~np.isfinite(outputs)).any(axis=1).argmax())
        raise ValueError(f"{said_of(row)} Was X transformed as in fit?")
    return outputs
