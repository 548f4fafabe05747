"""What skorch trains with: rows of images, steps, rates, and checkpoints that resume bit by bit."""

import json
import math
import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LRScheduler
from skorch.history import History
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

from sklearn_hsfm.extraction._batches import preprocessed
from sklearn_hsfm.extraction._last_layer import tensor_of
from sklearn_hsfm.extraction._seeds import seed


class Net(NeuralNetClassifier):
    """skorch's classifier with a forward pass of lower precision."""

    def __init__(self, *args, precision="float32", **kwargs):
        super().__init__(*args, **kwargs)
        self.precision = precision

    def infer(self, x, **fit_params):
        device = torch.device(self.device)
        low = self.precision != "float32"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
            out = tensor_of(super().infer(x, **fit_params))
        return out.float()


class SeedOfEpoch(Callback):
    """Seed each epoch by its number: a run that resumes draws what it would have drawn."""

    def __init__(self, number):
        self.number = number

    def on_epoch_begin(self, net, **kwargs):
        seed(self.number + len(net.history), net.device)


class Best(Callback):
    """Keep the weights of the best epoch, and end a run whose loss is no number any more."""

    def __init__(self):
        self.state, self.accuracy, self.diverged = None, -1.0, False

    def on_batch_end(self, net, training=False, **kwargs):
        if training and not math.isfinite(net.history[-1, "batches", -1, "train_loss"]):
            self._end()

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        if not math.isfinite(row["valid_loss"]):
            self._end()
        if row["valid_acc"] > self.accuracy:
            self.accuracy = row["valid_acc"]
            state = net.module_.state_dict()
            self.state = {name: value.detach().cpu().clone() for name, value in state.items()}

    def _end(self):
        self.diverged = True
        raise KeyboardInterrupt  # the way to stop skorch


class Last(Callback):
    """Keep the end of each epoch in a `CheckpointFile`, with what the best one was."""

    def __init__(self, file, best, marks):
        self.file, self.best, self.marks = file, best, marks

    def on_epoch_end(self, net, **kwargs):
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": json.dumps(net.history.to_list()),
            "best": self.best.state,
            "accuracy": float(self.best.accuracy),
        }
        self.file.write(state | self.marks)

    def resume(self, net, state):
        """Take a network to where a run stood."""
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history = History(json.loads(state["history"]))
        self.best.state, self.best.accuracy = state["best"], state["accuracy"]


class Patience(Callback):
    """Stop after so many epochs without a better accuracy, as the history tells alone."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, net, **kwargs):
        if self.is_due(net.history):
            raise KeyboardInterrupt  # the way to stop skorch

    def is_due(self, history):
        """Return whether a run has ended; an epoch that was cut off does not count."""
        accuracy = [row["valid_acc"] for row in history if "valid_acc" in row]
        if self.epochs is None or not accuracy:
            return False
        return len(accuracy) - 1 - accuracy.index(max(accuracy)) >= self.epochs


def before_it_diverged(history, lr):
    """Return the epochs before the one whose loss is no number; there must be some."""
    n_good = len(history) - 1
    if not n_good:
        raise ValueError(
            "Training diverged in its first epoch: the loss is no finite number. Pass a smaller lr "
            f"than {lr!r}."
        )
    warnings.warn(
        f"Training diverged in epoch {n_good + 1}, where the loss is no finite number; the best of "
        f"the epochs before is kept. A smaller lr than {lr!r} goes on.",
        ConvergenceWarning,
        stacklevel=4,
    )
    return History(history.to_list()[:n_good])


class Schedule(Callback):
    """Set the learning rate by the number of the step: a run that resumes needs no state."""

    def __init__(self, rates):
        self.rates = rates

    def on_batch_begin(self, net, training=False, **kwargs):
        if training:
            epoch, batch = len(net.history) - 1, len(net.history[-1, "batches"]) - 1
            for group in net.optimizer_.param_groups:
                group["lr"] = self.rates[epoch][batch]


def learning_rates(schedule, lr, epochs, n_batches):
    """Return the rates of the steps, a list an epoch, as torch's schedulers give them."""
    n_steps = epochs * n_batches
    scheduler = {
        "cosine": LRScheduler(CosineAnnealingLR, T_max=n_steps),
        "step": LRScheduler(StepLR, step_size=math.ceil(epochs / 3) * n_batches),
        "one-cycle": LRScheduler(OneCycleLR, max_lr=lr, total_steps=n_steps, cycle_momentum=False),
    }[schedule]
    return scheduler.simulate(n_steps, lr).reshape(epochs, n_batches).tolist()


class Rows(torch.utils.data.Dataset):
    """Some images with their labels, preprocessed, augmented for training; errors name them."""

    def __init__(self, images, y, rows, preprocess, augment=None, shape=None):
        self.images, self.y, self.rows = images, y, rows
        self.preprocess, self.augment, self.shape = preprocess, augment, shape

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        image, name = self.images.load(row), self.images.name(row)
        if self.augment is not None:
            image = self.augment(image)
        tensor = preprocessed(image, self.preprocess, name)
        if tuple(tensor.shape) != self.shape:
            raise ValueError(
                f"Images of a batch have one size, but {name} is {tuple(tensor.shape)} after "
                f"preprocessing and the first one {self.shape}. Resize and crop in preprocess."
            )
        return tensor, int(self.y[row])


def flip(image):
    """Mirror a PIL image, or a tensor (3, H, W), half of the time."""
    from torchvision.transforms.functional import hflip

    return hflip(image) if torch.rand(()) < 0.5 else image
