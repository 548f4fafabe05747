"""
Where is the shortcut?
======================

Digit dominoes as images: the upper digit gives the class, the lower one gives it away in training.
A small network is trained on them. Where does it look?
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.extraction import FeatureExtractor
from sklearn_hsfm.inspection import (
    MaskedSensitivityDisplay,
    PatchDisplay,
    RegionDisplay,
    find_regions,
    masked_sensitivity,
    probe_patches,
)

data = load_digit_dominoes(random_state=0)


def as_images(X):
    """Return rows of pixels as colour images."""
    grey = np.round(X.reshape(-1, 16, 8, 1) * 255).astype(np.uint8)
    return np.repeat(grey, 3, axis=-1)


def to_tensor(image):
    """Return an image as the network takes it."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 64, 3, stride=2, padding=1),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(64, 2),
)
images, y = as_images(data.X_train), torch.as_tensor(data.y_train)
pixels = torch.stack([to_tensor(image) for image in images])
optimizer = torch.optim.Adam(network.parameters(), 3e-3)
for _ in range(20):
    for rows in torch.randperm(len(y)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(pixels[rows]), y[rows]).backward()
        optimizer.step()

extractor = FeatureExtractor(network.eval(), preprocess=to_tensor, precision="float32")
head = LogisticRegression(max_iter=1000).fit(extractor.fit_transform(images), data.y_train)

# %%
# Every test image is cut into its upper and its lower half; what looks alike to the network is a
# cluster. A cluster is pointed to if images of one class are read worse with such a region and
# those of the other better, and if errors come from it. The regions of the clusters that are
# pointed to lie in the lower half, most of them.

test, y_test = as_images(data.X_test), data.y_test
found = find_regions(extractor, test, y_test, head, grid=(2, 1), n_clusters=8, random_state=0)
print(found)
for k in np.flatnonzero(found.pointed):
    lower = np.mean(found.boxes[found.cluster == k][:, 1] >= 8)
    print(f"cluster {k}: {lower:.0%} of its regions lie in the lower half")
RegionDisplay.from_regions(found, test)

# %%
# With labels that mean nothing, it points to nothing.

shuffled = np.random.RandomState(0).permutation(y_test)
print(find_regions(extractor, test, shuffled, head, grid=(2, 1), random_state=0).reason_)

# %%
# Is it the object at all? On images like those of training, the classes can be told with the upper
# digit, which is all that should count, masked.

model = make_pipeline(extractor, head)
upper = np.zeros((len(images), 16, 8), dtype=bool)
upper[:, :8] = True
print(masked_sensitivity(model, images, upper, data.y_train, random_state=0))
MaskedSensitivityDisplay.from_estimator(
    model, test, "grid", y_test, data.groups_test, grid=(4, 2), random_state=0
).plot(group="y=0 lower=1")

# %%
# Does a stamp flip it? Marks in the corners, against random patches that were cut out of the
# images.

probe = probe_patches(model, test, y=y_test, sizes=0.5, random_state=0)
print(probe)
PatchDisplay.from_probe(probe, test)
