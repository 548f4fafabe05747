"""EACS: where a covariate that is no cause helps, and where it stops helping."""

import numpy as np
from sklearn.linear_model import LinearRegression

from benchmarks.runs import run_missing, versions
from benchmarks.tables import cell, markdown, page
from sklearn_hsfm.environments import EnvironmentAdaptiveRegressor

SHIFTS = ("c1", "c2", "x")
LEVELS = (0.0, 1.0, 2.0, 3.0, 4.0)
N_ROWS = 100  # of an environment
# Environments a shift, and the published share of test environments whose best subset is picked.
PUBLISHED = {5: 0.905, 30: 0.960, 100: 0.970}
NAMES = ("c2 alone", "c2 and x", "EACS, discrete", "EACS, c2 stays", "EACS, soft")


def simulated(rng, shift, level):
    """Return covariates c2 and x, and y, of an environment; c1, a cause too, is not seen.

    The published simulation: y = c1 + c2 + e, x = c1 - c2 + e. A shift moves the mean of c1, or
    adds noise of deviation ``level`` to c2 or to x.
    """
    c1, c2, noise, of_x, more = rng.normal(size=(5, N_ROWS))
    if shift == "c1":
        c1 = c1 + level
    elif shift == "c2":
        c2 = c2 + level * more
    y, x = c1 + c2 + noise, c1 - c2 + of_x
    if shift == "x":
        x = x + level * more
    return np.column_stack([c2, x]), y


def record(n_env, simulation):
    """Return the squared errors of one simulation, and how often the best subset is picked."""
    rng = np.random.RandomState(simulation)
    given = [(s, level) for s in SHIFTS for level in np.linspace(0, 4, n_env)]
    parts = [simulated(rng, *pair) for pair in given]
    X, y = (np.concatenate(part) for part in zip(*parts, strict=True))
    env = np.repeat(np.arange(len(parts)), N_ROWS)
    common = {"correlations": "plain", "random_state": simulation}
    hard = {"form": "discrete", "choice": "hard", **common}
    models = {
        "EACS, discrete": EnvironmentAdaptiveRegressor(**hard),
        "EACS, c2 stays": EnvironmentAdaptiveRegressor(causal=[0], **hard),
        "EACS, soft": EnvironmentAdaptiveRegressor(form="soft", **common),
    }
    for model in models.values():
        model.fit(X, y, environments=env)
    subsets = [[], [0], [1], [0, 1]]
    heads = [None, *(LinearRegression().fit(X[:, s], y) for s in subsets[1:])]
    errors, right = {}, []
    for shift in SHIFTS:
        for level in LEVELS:
            A, target = simulated(rng, shift, level)
            of = [np.mean((y.mean() - target) ** 2)]
            of += [
                np.mean((h.predict(A[:, s]) - target) ** 2)
                for h, s in zip(heads[1:], subsets[1:], strict=True)
            ]
            picked = models["EACS, discrete"].covariate_weights(A) > 0.5
            right.append(bool(np.flatnonzero(picked).tolist() == subsets[int(np.argmin(of))]))
            ours = {n: float(np.mean((m.predict(A) - target) ** 2)) for n, m in models.items()}
            static = {"c2 alone": float(of[1]), "c2 and x": float(of[3])}
            errors[f"{shift} {level:g}"] = {**static, **ours}
    share = float(np.mean(right))
    found = {"errors": errors, "right": share, "versions": versions()}
    return [{"n_env": n_env, "simulation": simulation, **found}]


def run(context):
    """Return the tables."""
    counts = (5,) if context.quick else tuple(PUBLISHED)
    n = 2 if context.quick else 10 * context.seeds
    keys = "n_env", "simulation"
    tasks = {(c, s): (c, s) for c in counts for s in range(n)}
    records = run_missing("eacs", keys, tasks, record, context)
    kept = {tuple(r[key] for key in keys): r for r in records}
    of_count = {c: [kept[c, s] for s in range(n)] for c in counts}
    shown = of_count[counts[-1]]
    body = [
        [*key.split(), *(cell([r["errors"][key][name] for r in shown]) for name in NAMES)]
        for key in shown[0]["errors"]
    ]
    picked = [
        [c, cell([r["right"] for r in rows]), f"{PUBLISHED[c]:.3f}"] for c, rows in of_count.items()
    ]
    return page(
        "# EACS: when to use a covariate that is no cause",
        "y = c1 + c2 + noise; c1 is not seen, and x = c1 - c2 + noise stands in for it. Test "
        f"environments of {N_ROWS} samples are shifted as the training environments are: the mean "
        "of c1, or the noise of c2 or of x, by the level. The squared error of least squares on "
        "c2 (the cause), on both (ERM), and of EACS, which sees the samples without y.",
        f"Mean ± standard deviation over {n} simulations; {counts[-1]} training environments a "
        "shift, levels evenly from 0 to 4.",
        markdown(["shift", "level", *NAMES], body),
        "How often the discrete form picks the subset that is best in a test environment, beside "
        "the published share, which is over 20 levels and 1,000 simulations:",
        markdown(["environments a shift", "picked", "published"], picked),
    )
