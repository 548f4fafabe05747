"""Tasks on any engine that joblib has."""

from sklearn.utils.parallel import Parallel


def results(tasks, n_jobs):
    """Yield the results of `delayed` tasks in their order, each as soon as the engine can."""
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # engines without generators, such as that of Ray, give all at the end
        parallel = Parallel(n_jobs=n_jobs)
    yield from parallel(tasks)
