"""
Text
====

Sentences on statistics and on linear algebra, from the documentation of SciPy and torch. In
training most of those on statistics are SciPy's and most of those on linear algebra torch's, so the
style of a library gives the topic away.

So that this page needs no download, the features are words and their weights;
:class:`~sklearn_hsfm.extraction.TextExtractor` gives those of a trained network, with one line.
"""

import inspect
import re

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import scipy.stats
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hsfm import HSFMClassifierCV
from sklearn_hsfm.metrics import group_scores

MODULES = {
    ("statistics", "scipy"): [scipy.stats],
    ("statistics", "torch"): [torch.distributions],
    ("algebra", "scipy"): [scipy.linalg, scipy.sparse.linalg],
    ("algebra", "torch"): [torch.linalg],
}


def sentences(modules):
    """Return the sentences of what modules document, each once."""
    things = [thing for module in modules for _, thing in inspect.getmembers(module, callable)]
    of_classes = [m for c in things if inspect.isclass(c) for _, m in inspect.getmembers(c)]
    text = "\n\n".join(inspect.getdoc(thing) or "" for thing in things + of_classes)
    found = re.split(r"\n\s*\n|(?<=[.!?])\s+(?=[A-Z])", text)
    found = {" ".join(s.split()) for s in found if ">>>" not in s}
    return sorted(s for s in found if 8 <= len(s.split()) <= 60 and is_prose(s))


def is_prose(text):
    """Return whether a text is a sentence, mostly of letters."""
    return text.endswith(".") and sum(map(str.isalpha, text)) > 0.75 * len(text.replace(" ", ""))


texts = {group: sentences(modules) for group, modules in MODULES.items()}
for group, found in texts.items():
    print(*group, len(found), "such as:", found[len(found) // 2])

# %%
# One in twenty training sentences is of the other library. A few dozen of each group are for
# validation, and nobody tells of which library they are.

rng = np.random.RandomState(0)
USUAL = {("statistics", "scipy"), ("algebra", "torch")}
parts = {"train": [], "val": [], "test": []}
for group, found in texts.items():
    n_train = 190 if group in USUAL else 10
    mixed = rng.permutation(np.array([(text, *group) for text in found], dtype=object))
    cuts = n_train, n_train + 40, n_train + 140
    for part, rows in zip(parts.values(), np.split(mixed, cuts)[:3], strict=True):
        part.extend(rows)
X, y, library = ({name: [row[i] for row in p] for name, p in parts.items()} for i in range(3))
groups = {name: [f"{a} of {b}" for a, b in zip(y[name], library[name], strict=True)] for name in y}
print(np.unique(groups["train"], return_counts=True))

# %%
# The features. With a trained network, this line instead:
# ``features = TextExtractor("st:all-MiniLM-L6-v2", cache_dir="features")``

features = make_pipeline(
    TfidfVectorizer(min_df=2, sublinear_tf=True), TruncatedSVD(100, random_state=0)
)
F = {"train": features.fit_transform(X["train"])}
F |= {name: features.transform(X[name]) for name in ("val", "test")}

# %%
# A regression with balanced classes; the repair from training sentences alone, which says whether
# it found a shortcut; and the repair with validation sentences, which have class labels and no
# groups. Words are thin evidence: here the first finds nothing, and the second gains little.

plain = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
plain.fit(F["train"], y["train"])
alone = HSFMClassifierCV(random_state=0).fit(F["train"], y["train"])
print(alone.summary())
clf = HSFMClassifierCV(random_state=0).fit(F["train"], y["train"], F["val"], y["val"])
for name, model in (("regression", plain), ("alone", alone), ("with validation", clf)):
    print(name)
    print(group_scores(y["test"], model.predict(F["test"]), groups["test"]))
