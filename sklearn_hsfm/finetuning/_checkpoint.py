"""A run on disk: what it is known by, and one file that is replaced after every epoch."""

import hashlib
import io
import json
import warnings
from pathlib import Path

import torch

from sklearn_hsfm.extraction._identity import identify
from sklearn_hsfm.extraction._whole_files import whole

_MARK = b"sklearn_hsfm run 1\n"
_ENTRIES = ("module", "optimizer", "history", "best", "accuracy", "parts", "drawn")
_NOT_THE_RUN = ("backbone", "weights", "checkpoint_dir", "device", "epochs", "verbose")


def run_parts(settings, schedule, **data):
    """Return what a run is known by: a digest of each setting, and of network, samples and labels.

    Parameters
    ----------
    settings : dict
        Parameters of the estimator.
    schedule : str or None
        Without one more epochs can be added to a run.
    **data
        What else makes the run: objects, or lists of keys.
    """
    parts = {n: v for n, v in settings.items() if n not in _NOT_THE_RUN} | data
    if schedule is not None:
        parts["epochs"] = settings["epochs"]
    found = {name: identify(value) for name, value in parts.items()}
    gaps = [f"{name}: {gap}" for name, one in found.items() for gap in one.gaps]
    if gaps:
        raise ValueError(
            "checkpoint_dir is for runs that can be known again, and this one holds what cannot: "
            f"{', '.join(gaps)}. Hold what can be pickled, or pass checkpoint_dir=None."
        )
    return {name: one.digest for name, one in found.items()}


def image_keys(images):
    """Return a key for each image; of a data set that draws its images at random, of itself."""
    keys = [images.key(row) for row in range(len(images))]
    if images.kind == "dataset" and images.key(0) != keys[0]:
        return images.source
    return keys


class CheckpointFile:
    """The file in ``checkpoint_dir``: a checksum, and what torch saves of tensors and text.

    Nothing in it is unpickled but tensors and containers of them.
    """

    def __init__(self, folder):
        self.path, self._said = Path(folder) / "run.checkpoint", False
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def read(self):
        """Return what `write` wrote, or None where there is no file."""
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        digest, _, saved = content.removeprefix(_MARK).partition(b"\n")
        try:
            if not content.startswith(_MARK) or digest != _digest(saved):
                raise ValueError("its checksum is another")
            state = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
            return {name: state[name] for name in _ENTRIES}
        except Exception as error:  # whatever torch says of what it does not take
            raise ValueError(
                f"{self.path} is damaged, or no checkpoint of this version "
                f"({type(error).__name__}). Remove it to start anew."
            ) from error

    def check(self, state, parts, epochs):
        """Refuse what another run left, or more epochs than are wanted."""
        theirs = json.loads(state["parts"])
        differ = sorted(n for n in theirs.keys() | parts.keys() if theirs.get(n) != parts.get(n))
        if differ:
            raise ValueError(
                f"checkpoint_dir={str(self.path.parent)!r} holds a run with other settings or "
                f"data: {', '.join(differ)}. Empty it to start anew, or name another folder; the "
                "fits of a search or cross-validation see other samples each and want None."
            )

        there = len(json.loads(state["history"]))
        if there > epochs:
            raise ValueError(
                f"checkpoint_dir={str(self.path.parent)!r} holds a run of {there} epochs, and "
                f"epochs={epochs}. Pass as many or more, or another folder."
            )

    def write(self, state):
        """Replace the file as a whole; where that fails, a warning says it once."""
        saved = io.BytesIO()
        torch.save(state, saved)
        try:
            with whole(self.path) as file:
                file.write(_MARK + _digest(saved.getbuffer()) + b"\n")
                file.write(saved.getbuffer())
        except OSError as error:
            if not self._said:
                warnings.warn(
                    f"Training goes on, but an interrupted run would start from an earlier epoch: "
                    f"{error}",
                    stacklevel=2,
                )
            self._said = True


def _digest(saved):
    return hashlib.sha256(saved).hexdigest().encode()
