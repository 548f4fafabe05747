"""Tasks on any engine that joblib has; and one thread where more are slower."""

from functools import cache

from sklearn.utils.parallel import Parallel
from threadpoolctl import ThreadpoolController


def results(tasks, n_jobs):
    """Yield the results of `delayed` tasks in their order, each as soon as the engine can."""
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # engines without generators, such as that of Ray, give all at the end
        parallel = Parallel(n_jobs=n_jobs)
    yield from parallel(tasks)


def one_blas_thread():
    """Return a context in which BLAS takes one thread.

    Logistic regressions of some thousand rows are many products of a matrix and a vector, which
    more threads make several times slower.
    """
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller():
    return ThreadpoolController()
