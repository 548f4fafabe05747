"""Errors and warnings as one line each."""

import os
import re
import sys
import warnings
from contextlib import contextmanager

_OPTIONS = {  # of the functions that raise, as the command line spells them
    "image": "--image-column",
    "label": "--label-column",
    "split": "--split-column",
    "group": "--group-column",
    "attributes": "--attribute",
    "attribute": "--attribute",
    "folder": "--image-folder",
    "backbone": "--backbone",
    "weights": "--weights",
    "cache_dir": "--cache-dir",
    "batch_size": "--batch-size",
    "device": "--device",
}
_ARGUMENT = re.compile(rf"(?<![\w.])({'|'.join(_OPTIONS)})=")


@contextmanager
def one_line_errors(*, traceback=False):
    """Print what is raised as one line and exit with code 2; with ``traceback``, let it through."""
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            yield
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read the output has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            say("Interrupted. With --cache-dir, features that were computed are kept.")
            raise SystemExit(130) from None
        except Exception as error:
            if traceback:
                raise
            kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
            say(f"error: {kind}{_spelled(str(error))}")
            raise SystemExit(2) from None


def say(text):
    """Print one line to where errors go."""
    print(" ".join(str(text).split()), file=sys.stderr, flush=True)


def _spelled(text):
    """Return a message with options of the command line in place of arguments."""
    text = text.replace("weights=None", "weights=none")
    return _ARGUMENT.sub(lambda found: _OPTIONS[found[1]] + " ", text)


def _warn(message, category, filename, lineno, file=None, line=None):
    say(f"warning: {message}")
