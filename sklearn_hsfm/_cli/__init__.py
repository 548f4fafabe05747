"""The commands fit, audit and predict of ``python -m sklearn_hsfm``."""

from sklearn_hsfm._cli._commands import COMMANDS, run
from sklearn_hsfm._cli._errors import one_line_errors

__all__ = ["COMMANDS", "one_line_errors", "run"]
