"""One thread before torch starts (ten times faster at these sizes), data, clean config."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from hypothesis import HealthCheck, Phase, settings
from PIL import Image

from sklearn_hsfm.datasets import load_features, make_spurious_features
from tests.small_network import Small

# Of tests/test_fuzz.py. A fit takes as long as it takes, and the same examples come every time.
FUZZ = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
# Making an example small takes longer than all else, so the quick profile shows it as it came.
AS_IT_CAME = {"phases": [Phase.explicit, Phase.generate], "derandomize": True}
settings.register_profile("quick", max_examples=60, **AS_IT_CAME, **FUZZ)
settings.register_profile("long", max_examples=10_000, **FUZZ)
settings.load_profile("quick")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def default_config():
    """Give every test scikit-learn's default configuration."""
    with sklearn.config_context(enable_metadata_routing=False):
        yield


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="session")
def data():
    """Two classes, a shortcut, sizes that differ."""
    return make_spurious_features(n_train=300, n_val=120, n_test=200, random_state=0)


@pytest.fixture(scope="session")
def real_features():
    """Return a loader of the real feature files; skips where they are absent."""

    def load(name):
        path = REAL_DATA / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"real features are not here: no file {path.name} in shared/data")
        return load_features(path)

    return load


@pytest.fixture
def small():
    """Return a network that is quick."""
    torch.manual_seed(0)
    return Small()


@pytest.fixture(scope="session")
def pixels():
    """Return images as an array."""
    return np.random.RandomState(0).randint(256, size=(7, 12, 10, 3), dtype=np.uint8)


@pytest.fixture
def files(pixels, tmp_path):
    """Return the same images as files."""
    folder = tmp_path / "images" / "deep"
    folder.mkdir(parents=True)
    paths = [folder / f"{i}.png" for i in range(len(pixels))]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return paths


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device here"))
