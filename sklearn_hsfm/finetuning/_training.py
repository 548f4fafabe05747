"""What skorch trains with: rows of images, steps, rates, and checkpoints that resume bit by bit."""

import json
import math

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LRScheduler
from skorch.history import History
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR


class Net(NeuralNetClassifier):
    """skorch's classifier with a forward pass of lower precision."""

    def __init__(self, *args, precision="float32", **kwargs):
        super().__init__(*args, **kwargs)
        self.precision = precision

    def infer(self, x, **fit_params):
        device = torch.device(self.device)
        low = self.precision != "float32"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
            out = super().infer(x, **fit_params)
        return out.float()


class SeedOfEpoch(Callback):
    """Seed each epoch by its number: a run that resumes draws what it would have drawn."""

    def __init__(self, seed):
        self.seed = seed

    def on_epoch_begin(self, net, **kwargs):
        torch.manual_seed(self.seed + len(net.history))


class Last(Callback):
    """Keep the end of each epoch in one file, replaced as a whole: no kill leaves half of it."""

    def __init__(self, path):
        self.path = path

    def on_epoch_end(self, net, **kwargs):
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": json.dumps(net.history.to_list()),
        }
        new = self.path.with_suffix(".new")
        torch.save(state, new)
        new.replace(self.path)

    def resume(self, net):
        """Take a network to where the file left it, if there is one."""
        if self.path.is_file():
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            net.module_.load_state_dict(state["module"])
            net.optimizer_.load_state_dict(state["optimizer"])
            net.history = History(json.loads(state["history"]))


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
    """Some images with their labels, preprocessed, augmented for training."""

    def __init__(self, images, y, rows, preprocess, augment=None):
        self.images, self.y, self.rows = images, y, rows
        self.preprocess, self.augment = preprocess, augment

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        image = self.images.load(row)
        if self.augment is not None:
            image = self.augment(image)
        return self.preprocess(image), int(self.y[row])


def flip(image):
    """Mirror a PIL image, or a tensor (3, H, W), half of the time."""
    from torchvision.transforms.functional import hflip

    return hflip(image) if torch.rand(()) < 0.5 else image
