"""The discrete form: a head for each subset of covariates, and who chooses among them."""

from itertools import combinations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

MOST_FREE = 12  # covariates that may be left out; their subsets are 4096
AS_A_RULE = 8  # covariates up to which "auto" is discrete


def subsets_of(n_features, kept):
    """Return all subsets that hold the columns ``kept``, (n_subsets, n_features) bool.

    Small ones first, so that of equals the smaller wins.
    """
    free = np.flatnonzero(~kept)
    rows = []
    for size in range(len(free) + 1):
        for chosen in combinations(free, size):
            row = kept.copy()
            row[list(chosen)] = True
            rows.append(row)
    return np.array(rows)


class Discrete:
    """Heads of subsets, and a regression from summaries to the subset that is best."""

    def __init__(self, task, subsets, C, mixture):
        self.task, self.subsets, self.C, self.mixture = task, subsets, C, mixture

    def fit(self, X, y, env, summaries):
        """Fit pooled heads, find the best of each environment, learn to tell it."""
        self._fit_heads(X, y)
        losses = self._losses(X, y, env, len(summaries))
        self.best = losses.argmin(axis=1)
        self.selector = None  # one subset is best everywhere
        if len(np.unique(self.best)) > 1:
            self.selector = LogisticRegression(C=self.C, max_iter=2000).fit(summaries, self.best)
        return self

    def weights(self, summary):
        """Return the weight of each subset in an environment, (n_subsets,)."""
        weights = np.zeros(len(self.subsets))
        if self.selector is None:
            weights[self.best[0]] = 1
        elif self.mixture:
            weights[self.selector.classes_] = self.selector.predict_proba(summary[None])[0]
        else:
            weights[self.selector.predict(summary[None])[0]] = 1
        return weights

    def covariates(self, summary):
        """Return how much of each covariate is used, (n_features,)."""
        return self.weights(summary) @ self.subsets

    def outputs(self, X, summary):
        """Return the outputs of the task on the samples of an environment."""
        weights = self.weights(summary)
        used = np.flatnonzero(weights)
        parts = [weights[s] * self.task.outputs(self._scores(X, s)) for s in used]
        return np.sum(parts, axis=0)

    def _fit_heads(self, X, y):
        self.coef, self.intercept = [], []
        for subset in self.subsets:
            coef, intercept = self.task.fitted(X[:, subset], y)
            whole = np.zeros((len(coef), X.shape[1]))
            whole[:, subset] = coef
            self.coef.append(whole)
            self.intercept.append(intercept)

    def _scores(self, X, s):
        return X @ self.coef[s].T + self.intercept[s]

    def _losses(self, X, y, env, n_env):
        """Return the mean loss of each subset in each environment, (n_env, n_subsets)."""
        sizes = np.bincount(env, minlength=n_env)
        columns = []
        for s in range(len(self.subsets)):
            losses = self.task.losses(self.task.outputs(self._scores(X, s)), y)
            columns.append(np.bincount(env, weights=losses, minlength=n_env) / sizes)
        return np.column_stack(columns)


def chosen_discrete(task, subsets, Cs, choices, data, cv, rng):
    """Return the fitted discrete form, its settings chosen over folds of environments.

    ``data`` is (X, y, env, summaries); ``choices`` are "hard" and "mixture", or one of them.
    Also returns the mean loss of each setting on environments that it did not see, or None.
    """
    X, y, env, summaries = data
    settings = [(C, choice) for C in Cs for choice in choices]
    scores = None
    if len(settings) > 1 and len(subsets) > 1:
        scores = _scores_of(task, subsets, settings, data, cv, rng)
    best = settings[0] if scores is None else settings[int(np.argmin(scores))]
    form = Discrete(task, subsets, best[0], best[1] == "mixture").fit(X, y, env, summaries)
    table = None
    if scores is not None:
        params = [{"selector_C": C, "choice": choice} for C, choice in settings]
        table = {"params": params, "loss": [float(s) for s in scores]}
    return form, table


def _scores_of(task, subsets, settings, data, cv, rng):
    """Return the mean loss of each setting over environments that were left out."""
    X, y, env, summaries = data
    n_env = len(summaries)
    if n_env < 4:  # too few to leave one out and still tell others apart
        return None
    folds = KFold(min(cv, n_env), shuffle=True, random_state=rng.randint(np.iinfo(np.int32).max))
    scores = np.zeros(len(settings))
    for fitted_on, left in folds.split(summaries):
        rows = np.isin(env, fitted_on)
        if len(np.unique(y[rows])) < 2:
            continue
        inner = np.searchsorted(fitted_on, env[rows])
        form = Discrete(task, subsets, 1.0, False)
        form._fit_heads(X[rows], y[rows])
        form.best = form._losses(X[rows], y[rows], inner, len(fitted_on)).argmin(axis=1)
        for i, (C, choice) in enumerate(settings):
            form.mixture, form.selector = choice == "mixture", None
            if len(np.unique(form.best)) > 1:
                selector = LogisticRegression(C=C, max_iter=2000)
                form.selector = selector.fit(summaries[fitted_on], form.best)
            for e in left:
                of_env = env == e
                out = form.outputs(X[of_env], summaries[e])
                scores[i] += task.losses(out, y[of_env]).mean() / n_env
    return scores
