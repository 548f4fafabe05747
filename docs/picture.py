"""Draw the picture of the README: ``python docs/picture.py``."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.inspection import GroupAccuracyDisplay

SEED = 0

data = load_digit_dominoes(random_state=SEED)
erm = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
erm.fit(data.X_train, data.y_train)
hsfm = HSFMClassifierCV(random_state=SEED)
hsfm.fit(data.X_train, data.y_train, data.X_val, data.y_val)

figure = plt.figure(figsize=(9, 3.8), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 2])
groups, counts = np.unique(data.groups_train, return_counts=True)
for k, (ax, group) in enumerate(zip(left.subplots(2, 2).ravel(), groups, strict=True)):
    row = np.flatnonzero(data.groups_train == group)[0]
    ax.imshow(data.X_train[row].reshape(16, 8), cmap="gray")
    ax.set_title(f"{group}\n{counts[k]} training samples", fontsize="small")
    ax.set_axis_off()
GroupAccuracyDisplay.from_estimator(
    {"ERM": erm, "HSFMClassifierCV": hsfm},
    data.X_test,
    data.y_test,
    data.groups_test,
    ax=right.subplots(),
)
path = Path(__file__).parent / "images" / "digit_dominoes.png"
figure.savefig(path, dpi=110)
print(path.relative_to(Path(__file__).parents[1]))
