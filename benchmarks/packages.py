"""What other packages do on the same features: DFR of spuco, DPE of dpe, behind fit and predict.

Neither is needed by anything here: ``pip install spuco dpe netcal`` (netcal is what dpe imports and
does not ask for). They draw from numpy's and torch's global generators, which the seed sets.
"""

import importlib.util
import random
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.methods.lisa import attribute_of


def installed(*names):
    """Return whether modules can be imported, without importing them."""
    return all(importlib.util.find_spec(name) is not None for name in names)


class SpucoDFR(ClassifierMixin, BaseEstimator):
    """``spuco.last_layer_retrain.DFR`` on the validation samples, half to fit and half to choose C.

    Left to itself it would split them so, choose, and fit all; but it draws from a set, which
    Python refuses since 3.11, so it is given the halves and fits one. Features are standardised by
    the validation samples, as it does where it is told of rows to do so by.
    """

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y, X_val=None, y_val=None, *, groups_val=None):
        """Retrain the last layer."""
        from spuco.datasets import GroupLabeledDatasetWrapper
        from spuco.last_layer_retrain import DFR
        from spuco.models import SpuCoModel

        self.classes_, index = np.unique(y_val, return_inverse=True)
        group = np.unique(groups_val, return_inverse=True)[1]
        order = np.random.RandomState(self.random_state).permutation(len(y_val))
        fits, chooses = order[::2], order[1::2]

        def rows(which):
            return TensorDataset(torch.tensor(X_val[which]), torch.tensor(index[which]))

        def labelled(which):
            part = {(k, 0): np.flatnonzero(group[which] == k).tolist() for k in np.unique(group)}
            return GroupLabeledDatasetWrapper(rows(which), part)

        network = SpuCoModel(torch.nn.Identity(), X.shape[1], len(self.classes_))
        dfr = DFR(
            labelled(fits), network, validation_set=labelled(chooses), data_for_scaler=rows(order)
        )
        seed(self.random_state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dfr.train()
        _, self.coef_, self.intercept_, self.scaler_ = dfr.linear_model
        return self

    def predict(self, X):
        """Return classes."""
        logits = self.scaler_.transform(X) @ self.coef_.T + self.intercept_
        best = logits.argmax(axis=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(int)
        return self.classes_[best]


class DpeDPE(ClassifierMixin, BaseEstimator):
    """``dpe.DPE`` at its defaults on the validation samples, which also choose its epochs.

    With ``groups`` its members are fitted on rows that are balanced over groups, else over classes;
    the worst group chooses epochs in either case, for it knows no other way.
    """

    def __init__(self, groups=True, random_state=None):
        self.groups = groups
        self.random_state = random_state

    def fit(self, X, y, X_val=None, y_val=None, *, groups_val=None):
        """Fit the ensemble."""
        import dpe

        self.classes_, index = np.unique(y_val, return_inverse=True)
        with tempfile.TemporaryDirectory() as folder:
            attribute = np.unique(attribute_of(groups_val), return_inverse=True)[1]
            for name in ("val", "test"):  # it wants both, and uses the first
                np.save(f"{folder}/feats_{name}.npy", X_val)
            write_metadata(folder, index, attribute, split=1)
            seed(self.random_state)
            self.dpe_ = dpe.DPE(
                data_dir=folder,
                metadata_path=f"{folder}/metadata.csv",
                emb_dim=X.shape[1],
                train_attr=self.groups,
                device="cpu",
                seed=self.random_state,
            )
            self.dpe_.fit()
        return self

    def predict(self, X):
        """Return classes."""
        from dpe.datasets import Features

        with tempfile.TemporaryDirectory() as folder:
            # It counts the classes of what it reads, so each is there.
            made_up = np.arange(len(X)) % len(self.classes_)
            write_metadata(folder, made_up, made_up, split=2)
            units = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)  # as in fit
            rows = Features(folder, "te", f"{folder}/metadata.csv", pre_extracted_feats=units)
        self.dpe_.loaders["test"] = DataLoader(rows, batch_size=256)
        return self.classes_[self.dpe_.predict_proba("test").argmax(dim=1).numpy()]


def write_metadata(folder, y, attribute, split):
    """Write what dpe is to know of rows: where they belong, their class and attribute."""
    lines = [f"{i},{split},{c},{a}" for i, (c, a) in enumerate(zip(y, attribute, strict=True))]
    Path(folder, "metadata.csv").write_text("\n".join(["filename,split,y,a", *lines]))


def seed(value):
    """Seed every generator that these packages draw from."""
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002
    torch.manual_seed(value)
