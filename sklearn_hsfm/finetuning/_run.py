"""One run of fine-tuning: what it is known by, what trains, and how it ends."""

import math
from contextlib import contextmanager

import numpy as np
import torch
from skorch.helper import predefined_split
from torch import nn

from sklearn_hsfm.finetuning._checkpoint import image_keys, run_parts
from sklearn_hsfm.finetuning._training import (
    Best,
    Last,
    Net,
    Patience,
    Schedule,
    SeedOfEpoch,
    before_it_diverged,
    learning_rates,
)


def parts_of(erm, network, train, valid, seed):
    """Return what the run of an `ERMClassifier` is known by."""
    keys = {id(rows.images): image_keys(rows.images) for rows in (train, valid)}
    rows, validation_rows = ((keys[id(r.images)], r.y, r.rows) for r in (train, valid))
    return run_parts(
        erm.get_params(deep=False) | {"random_state": seed, "preprocess": erm.preprocess_},
        erm.schedule,
        network=network,
        classes=erm.classes_.tolist(),
        rows=rows,
        validation_rows=validation_rows,
    )


def make_net(erm, network, train, valid, seed, device):
    """Return the skorch classifier that trains a network as an `ERMClassifier` says."""
    n_batches, rest = divmod(len(train), erm.batch_size)
    # Batch normalisation cannot train on a batch of one, so such a rest is left out.
    normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
    drop_last = normed and rest == 1
    n_batches += 0 if drop_last else math.ceil(rest / erm.batch_size)
    callbacks = [("seed", SeedOfEpoch(seed))]
    if erm.schedule is not None:
        rates = learning_rates(erm.schedule, erm.lr, erm.epochs, n_batches)
        callbacks.append(("schedule", Schedule(rates)))
    return Net(
        network,
        precision=erm.precision,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=erm.momentum,
        optimizer__weight_decay=erm.weight_decay,
        lr=erm.lr,
        max_epochs=erm.epochs,
        batch_size=erm.batch_size,
        iterator_train__shuffle=True,
        iterator_train__drop_last=drop_last,
        iterator_train__num_workers=erm.n_jobs or 0,
        iterator_valid__num_workers=erm.n_jobs or 0,
        classes=np.arange(len(erm.classes_)),
        train_split=predefined_split(valid),
        callbacks=callbacks,
        device=device,
        verbose=erm.verbose,
    )


def trained(erm, net, train, file, saved, marks):
    """Train what is left, checkpoint after checkpoint, go back to the best epoch.

    Returns the history.
    """
    best, stop = Best(), Patience(erm.patience)
    last = Last(file, best, marks)
    ends = [("best", best), ("stop", stop)]
    if file is not None:  # written before the run may stop
        ends.insert(1, ("last", last))
    net.set_params(callbacks=[*net.callbacks, *ends])
    net.initialize()
    if saved is not None:
        last.resume(net, saved)
    left = erm.epochs - len(net.history)
    if left > 0 and not stop.is_due(net.history):
        with _naming_the_batch_size(len(train), erm.batch_size):
            net.partial_fit(train, epochs=left)
    history = net.history
    if best.diverged:
        history = before_it_diverged(history, erm.lr)
    else:
        done = "valid_acc" in history[-1] and len(history) == erm.epochs
        if not (done or stop.is_due(history)):
            raise KeyboardInterrupt  # which skorch takes for the end of the training
    net.module_.load_state_dict(best.state)
    return history


def curves(history):
    """Return losses and accuracies, epoch by epoch, as arrays."""
    return {key: np.array(history[:, key]) for key in ("train_loss", "valid_loss", "valid_acc")}


@contextmanager
def _naming_the_batch_size(n_images, batch_size):
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"The backbone's batch normalisation cannot train on one image: there are {n_images} "
            f"in batches of batch_size={batch_size}. It wants two or more in each."
        ) from error
