"""Searches, folds and resamples on a Dask cluster of two processes."""

import io
import os
import re
import warnings
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from _cluster import Begins, Warns, same, told_by_blob
from _helpers import assert_same
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skjointprune import (
    InputFeatureSelector,
    JointPruneCV,
    joint_prune_path,
    knockoff_selection,
    p_values,
    register_rule,
    stability_selection,
)

distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def on_cluster(client):
    client.wait_for_workers(2, timeout=60)
    with parallel_config(backend="dask"):
        yield client


@pytest.fixture(scope="module")
def clf(quick):
    # JointPruneCV holds rows out where there are callbacks: here in all fits alike
    return quick(max_epochs=3, retrain_epochs=1, callbacks=[Begins()])


def search(clf, X, y, cv=3):
    found = GridSearchCV(clf, {"alpha": [0.01, 0.03]}, cv=cv).fit(X, y)
    return [found.cv_results_["mean_test_score"], found.predict_proba(X)]


def cross_validate(clf, X, y):
    found = JointPruneCV(clf, n_alphas=3, cv=2).fit(X, y)
    return [*found.cv_results_.values(), found.predict_proba(X)]


def resample(clf, X, y):
    few = clone(clf).set_params(n_features_to_select=2, retrain_epochs=0)
    return [stability_selection(few, X, y, n_resamples=6, random_state=0).supports]


def compare_with_knockoffs(clf, X, y):
    return [
        knockoff_selection(
            clf, X, y, n_knockoffs=1, n_repeats=2, random_state=0
        ).statistics_by_repeat
    ]


def find_p_values(clf, X, y):
    found = p_values(clf, X, y, cv=2, n_permutations=2, random_state=0)
    return [found.pvalues_by_group, found.errors_by_group]


WAYS = [search, cross_validate, resample, compare_with_knockoffs, find_p_values]


@pytest.fixture(scope="module")
def in_one_process(clf, planted):
    @cache
    def results(run):
        with parallel_config("sequential"):
            return run(clf, *planted)

    return results


class PicklerOfTasks(cloudpickle.CloudPickler):
    def persistent_id(self, value):
        return "future" if isinstance(value, distributed.Future) else None


def size_of_task(task):
    with io.BytesIO() as file:
        PicklerOfTasks(file).dump(task)
        return file.tell()


@pytest.mark.parametrize("run", WAYS)
def test_a_cluster_gives_the_same_and_gets_the_data_once(
    run, clf, planted, in_one_process, on_cluster, monkeypatch
):
    X, y = planted
    sent, sizes = [], []
    scatter, submit = on_cluster.scatter, on_cluster.submit

    def spy_on_scatter(value, **kwargs):  # by joblib, in a search
        sent.append(value)
        return scatter(value, **kwargs)

    def spy_on_submit(function, **kwargs):
        if isinstance(function, partial):
            sent.extend(function.args)
        else:
            sizes.append(size_of_task((function, kwargs)))
        return submit(function, **kwargs)

    monkeypatch.setattr(on_cluster, "scatter", spy_on_scatter)
    monkeypatch.setattr(on_cluster, "submit", spy_on_submit)
    for got, expected in zip(run(clf, X, y), in_one_process(run), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert sum(value is X for value in sent) == 1
    assert len(sizes) >= 2  # joblib may put short ones together
    assert max(sizes) < X.nbytes / 2


def test_a_worker_has_one_thread(on_cluster):
    assert set(on_cluster.run(torch.get_num_threads).values()) == {1}


@pytest.mark.parametrize("run", [cross_validate, resample])
def test_fits_of_all_workers_warn_once_and_here(run, clf, planted, on_cluster):
    warning = clone(clf).set_params(callbacks=[Warns()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(warning, *planted)
    told = [w for w in caught if "`number`" in str(w.message)]
    assert len(told) == 1 and told[0].filename == __file__


# What a notebook defines: no worker can import it.
NOTEBOOK = """
import torch
from skorch.callbacks import Callback
from torch import nn

class Scale(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x if (x < -1e9).any() else x * self.factor

class Net(nn.Module):
    def __init__(self, n_features_in, n_outputs, width=8):
        super().__init__()
        self.first, self.scale = nn.Linear(n_features_in, width), Scale(width)
        self.last = nn.Linear(width, n_outputs)

    def forward(self, x):
        return self.last(self.scale(self.first(x).relu()))

def rule(layer, name, x, context):
    context.produce(f"{name}.factor", 0, context.channels(x))
    return x

class Threshold:
    def prox(self, saliency, alpha):
        return saliency * (saliency > alpha)

class Counts(Callback):
    def on_epoch_end(self, net, **kwargs):
        self.epochs_ = len(net.history)

def score(estimator, X, y):
    return estimator.score(X, y)
"""


@pytest.fixture(scope="module")
def notebook():
    names = {"__name__": "__main__"}
    exec(NOTEBOOK, names)
    with register_rule(names["Scale"], names["rule"]):
        yield names


@pytest.fixture(scope="module")
def of_notebook(notebook, clf):
    return clone(clf).set_params(
        module=notebook["Net"],
        penalty=notebook["Threshold"](),
        callbacks=[notebook["Counts"]()],
        alpha=0.05,
    )


def test_what_a_notebook_defines_is_fitted_by_workers(
    notebook, of_notebook, planted, on_cluster
):
    cv = JointPruneCV(of_notebook, n_alphas=3, cv=2, scoring=notebook["score"])
    grid = GridSearchCV(of_notebook, {"alpha": [0.01, 0.03]}, cv=2)
    there = [clone(search).fit(*planted) for search in (cv, grid)]
    with parallel_config("sequential"):
        here = [search.fit(*planted) for search in (cv, grid)]
    for a, b in zip(there, here, strict=True):
        score = "mean_test_score"
        np.testing.assert_array_equal(a.cv_results_[score], b.cv_results_[score])
        np.testing.assert_array_equal(
            a.predict_proba(planted[0]), b.predict_proba(planted[0])
        )


def test_the_page_of_the_guide_runs(on_cluster):
    page = Path(__file__).parents[1] / "docs" / "guide" / "cluster.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    names = {}
    with parallel_config("sequential"):  # it asks for the cluster itself
        for block in blocks:
            if "LocalCluster" not in block and ">>>" not in block:
                exec(block, names)
    assert names["stable"].supports.shape == (4, 13)
    assert names["cv"].n_splits_ == names["search"].n_splits_ == 3


@pytest.fixture(scope="module")
def travellers(of_notebook, clf, planted):
    X, y = planted
    few = clone(of_notebook).set_params(n_features_to_select=3)
    path = joint_prune_path(
        X, y, estimator=of_notebook, n_alphas=3, return_estimators=True
    )
    return {
        "unfitted": of_notebook,
        "fitted": clone(of_notebook).fit(X, y),
        "cross-validated": JointPruneCV(of_notebook, n_alphas=3, cv=2).fit(X, y),
        "selector": InputFeatureSelector(few).fit(X, y),
        "path": path,
        "stability": stability_selection(few, X, y, n_resamples=2, random_state=0),
        "knockoffs": knockoff_selection(clf, X, y, n_repeats=1, random_state=0),
        "p-values": p_values(clf, X, y, cv=2, n_permutations=1, random_state=0),
    }


def told_by(traveller, X):
    """Return what shows whether a traveller has come through whole."""
    if hasattr(traveller, "estimators"):
        parts = [told_by(estimator, X) for estimator in traveller.estimators]
        return [traveller.alphas, traveller.supports, traveller.scores, *parts]
    if not hasattr(traveller, "get_params"):
        return vars(traveller)
    if not hasattr(traveller, "n_features_in_"):
        return traveller.fit(X, X[:, 0] > 0).predict_proba(X)
    read = "predict" if hasattr(traveller, "predict") else "transform"
    return [traveller.get_support(), getattr(traveller, read)(X)]


@pytest.mark.parametrize(
    "name",
    [
        "unfitted",
        "fitted",
        "cross-validated",
        "selector",
        "path",
        "stability",
        "knockoffs",
        "p-values",
    ],
)
def test_what_travels_comes_through_a_worker_whole(name, travellers, planted, client):
    traveller, X = travellers[name], planted[0]
    expected = told_by(clone(traveller) if name == "unfitted" else traveller, X)
    assert_same(told_by(client.submit(same, traveller).result(), X), expected)
    blob = cloudpickle.dumps(traveller)
    there = client.submit(told_by_blob, told_by, blob, X)
    assert_same(there.result(), expected)


@pytest.mark.parametrize("n_killed", [1, 2])
def test_killed_workers_cost_their_own_fits_only(
    n_killed, clf, planted, in_one_process, on_cluster, tmp_path
):
    log = tmp_path / "log"
    kills = tuple(on_cluster.run(os.getpid).values()) if n_killed == 2 else ()
    killing = clone(clf).set_params(callbacks=[Begins(str(log), kills)])
    for got, expected in zip(
        resample(killing, *planted), in_one_process(resample), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    # what one had ended, and not told of yet, is made again as well
    assert 6 < log.read_text().count("begun") <= 6 + 2 * n_killed
