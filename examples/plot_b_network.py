"""
From a network to a repaired network, and out of Python
=======================================================

A small network is trained on digit dominoes as images, and reads the lower digit. Its last layer
is repaired from class labels alone, put back, and exported; a process that has neither this package
nor torch checks the worst group.
"""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sklearn_hsfm import FeatureExtractor, HSFMClassifierCV, repaired
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.deployment import register_onnx
from sklearn_hsfm.inspection import GroupAccuracyDisplay
from sklearn_hsfm.metrics import worst_group_accuracy_score

data = load_digit_dominoes(random_state=0)


def images_of(X):
    """Return rows of pixels as images, (n, 3, 16, 8)."""
    return torch.tensor(X, dtype=torch.float32).reshape(-1, 1, 16, 8).expand(-1, 3, -1, -1)


images, tests = images_of(data.X_train), images_of(data.X_test)

# %%
# Plain training, as anyone would do it.

torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(32 * 4 * 2, 2),
)
optimizer, y = torch.optim.Adam(network.parameters()), torch.tensor(data.y_train)
for _ in range(10):
    for rows in torch.randperm(len(y)).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[rows]), y[rows]).backward()
        optimizer.step()
network.eval()


def logits_of(network):
    """Return what a network says of the test images."""
    with torch.no_grad():
        return network(tests).numpy()


def worst_group(predictions):
    """Return the accuracy in the worst group of the test images."""
    return worst_group_accuracy_score(data.y_test, predictions, data.groups_test)


before = logits_of(network).argmax(axis=1)

# %%
# What enters the last layer are the features. No group is known, and there is no validation set.

extractor = FeatureExtractor(network, preprocess=None, precision="float32").fit(images)
features, test_features = extractor.transform(images), extractor.transform(tests)
clf = HSFMClassifierCV(random_state=0).fit(features, data.y_train)
print(clf.summary())

# %%
# ``repaired`` puts the head in the place of the last layer of a copy, and proves on some images
# that the copy decides as the head does.

fixed = repaired(network, clf, images[:64])
after = logits_of(fixed).argmax(axis=1)
print(f"worst group: {worst_group(before):.3f} before, {worst_group(after):.3f} after")
GroupAccuracyDisplay.from_predictions(
    data.y_test, {"the network": before, "repaired": after}, data.groups_test
)

# %%
# Every form of the head says the same. Here are its largest differences from ``decision_function``,
# in log-odds; what needs a package that is missing is left out.


def log_odds(logits):
    """Return the log-odds of two columns of logits."""
    return logits[:, 1] - logits[:, 0]


wanted = clf.decision_function(test_features)
folder = Path(tempfile.mkdtemp())
with torch.no_grad():
    forms = {"to_torch": log_odds(clf.to_torch()(torch.tensor(test_features)).numpy())}
forms["the repaired network"] = log_odds(logits_of(fixed))
if importlib.util.find_spec("skops"):
    import skops.io

    skops.io.dump(clf, folder / "head.skops")
    unknown = skops.io.get_untrusted_types(file=folder / "head.skops")  # our own classes
    loaded = skops.io.load(folder / "head.skops", trusted=unknown)
    forms["skops"] = loaded.decision_function(test_features)
if importlib.util.find_spec("skl2onnx") and importlib.util.find_spec("onnxruntime"):
    import onnxruntime
    from skl2onnx import to_onnx

    register_onnx()
    graph = to_onnx(clf, features[:1], options={"zipmap": False, "raw_scores": True})
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    forms["ONNX, the head"] = log_odds(session.run(None, {"X": test_features})[1])

# %%
# The whole network goes through torch's exporter, and is run by a process that knows two packages.

SERVE = """
import sys
import numpy as np
import onnxruntime

given = np.load("tests.npz")
session = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {"images": given["images"]})
right = logits.argmax(axis=1) == given["y"]
groups = given["groups"]
print(min(right[groups == group].mean() for group in np.unique(groups)))
np.save("logits.npy", logits)
assert not {"sklearn_hsfm", "sklearn", "torch"} & set(sys.modules)
"""

if importlib.util.find_spec("onnxscript") and importlib.util.find_spec("onnxruntime"):
    torch.onnx.export(
        fixed,
        (images[:4],),
        folder / "network.onnx",
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("n")},),
        input_names=["images"],
        external_data=False,
        verbose=False,
    )
    np.savez(
        folder / "tests.npz",
        images=tests.numpy(),
        y=data.y_test,
        groups=np.asarray(data.groups_test, dtype=str),
    )
    served = subprocess.run(
        [sys.executable, "-c", SERVE], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    print(f"worst group, in the other process: {float(served):.3f}")
    forms["ONNX, the network"] = log_odds(np.load(folder / "logits.npy"))

differences = {name: np.abs(found - wanted).max() for name, found in forms.items()}
print(f"log-odds up to {np.abs(wanted).max():.2f}; largest difference of")
for name, difference in differences.items():
    print(f"  {name:22} {difference:.1e}")
