"""Images made from training images by DaC, and their features."""

import numpy as np
import torch

from sklearn_hsfm.extraction._batches import preprocessed, stacked
from sklearn_hsfm.extraction._last_layer import proof_batch
from sklearn_hsfm.extraction._saliency import Saliency, brought_to
from sklearn_hsfm.finetuning._composing import combined, enough_to_see, only


def smallest(losses, y, quantile):
    """Return that part of each class which has the smallest losses, one sample at least."""
    rows = []
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        n = max(1, int(quantile * len(members)))
        rows.append(members[np.argsort(losses[members], kind="stable")[:n]])
    return np.sort(np.concatenate(rows))


def partners(y, rng):
    """Return, for each label, the position of one that differs, drawn at random."""
    drawn = np.empty(len(y), dtype=np.intp)
    for c in np.unique(y):
        others = np.flatnonzero(y != c)
        drawn[y == c] = rng.choice(others, size=(y == c).sum())
    return drawn


class MadeRows:
    """Features of images that are made from others, foreground before background.

    Parameters
    ----------
    extractor : FeatureExtractor
        Fitted.
    layer, foreground : str
        As in `DaCClassifier`.
    images : Images
    y : ndarray of shape (n,)
        Labels as indices.
    head : tuple of ndarray
        coef and intercept on raw features, one row a class.

    Attributes
    ----------
    layer : str
        The module whose maps are looked at.
    """

    def __init__(self, extractor, layer, foreground, images, y, head):
        self.images, self.y, self.foreground = images, y, foreground
        self.backbone, self.device = extractor._loaded(), extractor._device()
        self.preprocess, self.batch_size = self.backbone.preprocess, extractor.batch_size
        self.run = self.backbone.runner("torch", self.device, "float32")
        coef, intercept = (torch.from_numpy(np.asarray(a, np.float32)) for a in head)
        coef, intercept = coef.to(self.device), intercept.to(self.device)
        network = self.backbone.network.to(self.device)

        def logits_of(batch):
            return self.backbone.features(batch).float() @ coef.T + intercept

        self.logits_of = logits_of
        first = self._tensors([0])
        self.saliency = Saliency(
            network, layer, proof_batch(first[0].cpu()).to(self.device), logits_of
        )
        self.layer = self.saliency.layer

    def of(self, taken, n_combined, rng):
        """Return features and labels of what is made of the samples ``taken``.

        First their foregrounds alone, then ``n_combined`` times each before another background;
        and which part of each the foreground is.
        """
        fill = self._mean_colour(taken)
        parts = [self._apart(rows, fill) for rows in self._chunks(taken)]
        alone, foregrounds = (torch.cat(part) for part in zip(*parts, strict=True))
        made, labels = [alone.numpy()], [self.y[taken]]
        for _ in range(n_combined):
            back = partners(self.y[taken], rng)
            for some in self._chunks(np.arange(len(taken))):
                batch = combined(
                    self._tensors(taken[some]),
                    foregrounds[some].to(self.device),
                    self._tensors(taken[back[some]]),
                    foregrounds[back[some]].to(self.device),
                    fill,
                )
                made.append(self.run(batch))
            labels.append(self.y[taken])
        fraction = foregrounds.float().mean((1, 2)).numpy()
        return np.concatenate(made), np.concatenate(labels), fraction

    def _apart(self, rows, fill):
        """Return features of foregrounds alone, and the foregrounds, bool (n, h, w)."""
        batch, y = self._tensors(rows), torch.from_numpy(self.y[rows]).to(self.device)
        salient = brought_to(self.saliency(batch, y)[0], tuple(batch.shape[-2:]))
        foreground = enough_to_see(batch, salient, y, self.logits_of, fill)
        if self.foreground == "rest":
            foreground = ~foreground
        return torch.from_numpy(self.run(only(batch, foreground, fill))), foreground.cpu()

    def _mean_colour(self, taken):
        total = sum(self._tensors(rows).mean((2, 3)).sum(0) for rows in self._chunks(taken))
        return total / len(taken)

    def _chunks(self, rows):
        return np.split(rows, np.arange(self.batch_size, len(rows), self.batch_size))

    def _tensors(self, rows):
        """Return preprocessed images as a batch."""
        images = self.images
        tensors = [preprocessed(images.load(r), self.preprocess, images.name(r)) for r in rows]
        return stacked(tensors, rows, images).to(self.device)
