import os
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from _helpers import RELEVANT
from _pictures import make as classifier_of_images
from matplotlib import pyplot as plt
from sklearn.datasets import make_blobs
from threadpoolctl import threadpool_limits

from skjointprune import JointPruneClassifier


def pytest_configure(config):
    """Let all run on one thread, also fixtures of a session and docstrings.

    Another number of threads is another order of summation, and so another fit. Two
    tests at a time with two threads each would also wait for each other: those of
    processes that tests start, and of scikit-learn's libraries, are limited as well.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(1)
    # What is started in the background may have inherited that interrupts are ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeds_and_threads():
    """Seed before each test; one thread within, whatever the last one left."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture
def closed_figures():
    """Draw into memory, and close what a test has drawn."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def quick():
    """Make a classifier that trains in a fraction of a second."""

    def make(**params):
        defaults = {
            "hidden_layer_sizes": (16,),
            "alpha": 0.02,
            "max_epochs": 15,
            "retrain_epochs": 8,
            "lr": 1e-2,
            "batch_size": 64,
            "random_state": 0,
        }
        return JointPruneClassifier(**(defaults | params))

    return make


@pytest.fixture(scope="session")
def planted():
    """Two classes by a linear rule over the RELEVANT three of 12 inputs.

    The arrays are read-only: whatever writes into X fails.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 12))
    y = (X[:, RELEVANT] @ [2.0, -2.0, 2.0] > 0).astype(int)
    X.flags.writeable = y.flags.writeable = False
    return X, y


@pytest.fixture(scope="session")
def frame(planted):
    X, y = planted
    names = [f"col{i}" for i in range(X.shape[1])]
    labels = pd.Series(np.where(y == 1, "yes", "no"))
    return pd.DataFrame(X.copy(), columns=names), labels


@pytest.fixture(scope="session")
def blobs():
    """Five classes in six inputs."""
    return make_blobs(300, n_features=6, centers=5, random_state=0)


@pytest.fixture(scope="session")
def fitted(quick, planted):
    """A classifier with three inputs; to be read, not to be changed."""
    return quick(n_features_to_select=3).fit(*planted)


@pytest.fixture(scope="session")
def joint(quick, planted):
    """A classifier whose `alpha` has taken inputs and units."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return quick(alpha=0.12).fit(*planted)


@pytest.fixture(scope="session")
def pictures():
    """Images of noise whose class is in rows 2 to 4, columns 3 to 6, of channel 1."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (300, 3, 8, 9)).astype(np.uint8)
    y = rng.integers(0, 2, 300)
    X[y == 1, 1, 2:5, 3:7] //= 3
    X.flags.writeable = False
    return X, np.where(y == 1, "dark", "light")


@pytest.fixture(scope="session")
def cropped(pictures):
    """A classifier of images, cropped; to be read, not to be changed."""
    return classifier_of_images(alpha=0.5, max_epochs=35).fit(*pictures)
