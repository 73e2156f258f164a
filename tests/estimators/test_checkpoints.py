import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from _pictures import SmallConvNet, make
from _resume import (
    Stop,
    assert_bit_identical,
    call_until_done,
    stop_after,
    write_each_epoch,
)
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from torch import nn

from skjointprune import (
    ImageInput,
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneRegressor,
    JointPruneSurvival,
    joint_prune_path,
    load,
    save,
)

BENCHMARKS = Path(__file__).parents[2] / "examples" / "benchmarks"
SHORT = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 6,
    "retrain_epochs": 4,
    "random_state": 0,
}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "fit")


def brightened(image):
    return (image // (1 + torch.randint(2, ()))).to(image.dtype)


class Unit(nn.Module):
    """Layers whose cut adds a bias, and a weight that two layers share."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.a = nn.Linear(n_features_in, 12, bias=False)
        self.b, self.c = nn.Linear(12, 12, bias=False), nn.Linear(12, 12)
        self.c.weight = self.b.weight
        self.d = nn.Linear(12, n_outputs, bias=False)

    def forward(self, x):
        return self.d(self.c(self.b(self.a(x).sigmoid()).sigmoid()).relu())


def table(planted, **params):
    return JointPruneClassifier(**SHORT | params), (planted[0][:150], planted[1][:150])


def numbers(planted, **params):
    X = planted[0][:150]
    return JointPruneRegressor(**SHORT | params), (X, X[:, 1] - X[:, 5] ** 2)


def survival(planted, **params):
    X, y = planted[0][:150], planted[1][:150]
    times = np.exp(X[:, 5] + X[:, 1])
    y = np.array([*zip(y == 1, times, strict=True)], [("e", bool), ("t", float)])
    return JointPruneSurvival(**SHORT | params), (X, y)


def sparse(planted, **params):
    X = np.where(np.abs(planted[0][:150]) > 1, planted[0][:150], 0)
    return JointPruneClassifier(**SHORT | params), (csr_matrix(X), planted[1][:150])


def mixed(planted, **params):
    X = pd.DataFrame(planted[0][:150]).rename(columns="col{}".format)
    X["text"] = np.where(X["col1"] > 0, "a", "b")
    X.loc[::9, "col5"] = np.nan
    y = np.where(planted[1][:150], "yes", "no")
    return JointPruneClassifier(**SHORT | params), (X, y)


def images(pictures, **params):
    params = {"max_epochs": 6, "retrain_epochs": 4} | params
    return make(**params), (pictures[0][:120], pictures[1][:120])


CALLBACKS = [
    EarlyStopping(patience=1, threshold=0.3, load_best=True),
    LRScheduler("StepLR", step_size=2, gamma=0.7),
    EpochScoring("f1_macro"),
    GradientNormClipping(1.0),
]
FITS = {
    "auto": (table, {}),
    "auto, without held-out rows": (table, {"validation_fraction": 0}),
    "auto, stopped early": (table, {"callbacks": CALLBACKS}),
    "choice of inputs": (table, {"n_features_to_select": 3, "prune": "inputs"}),
    "choice, then units": (table, {"n_features_to_select": 3}),
    "taught": (table, {"alpha": 0.05, "pretrain_epochs": 2, "distillation": 0.5}),
    "a teacher of its own": (table, {"alpha": 0.05, "distillation": 0.5}),
    "units": (table, {"alpha": 0.05, "prune": "weights", "unit_cost": "macs"}),
    "nothing goes": (table, {"prune": "none"}),
    "momentum": (
        table,
        {"alpha": 0.05, "optimizer": "sgd", "optimizer__momentum": 0.9},
    ),
    "rows and columns of states": (
        table,
        {"alpha": 0.05, "optimizer": torch.optim.Adafactor},
    ),
    "noise": (table, {"alpha": 0.05, "input_noise": 0.5, "callbacks": CALLBACKS}),
    "own module": (table, {"alpha": 0.1, "module": Unit}),
    "bfloat16": (table, {"alpha": 0.05, "amp": True}),
    "numbers": (numbers, {}),
    "survival": (survival, {}),
    "sparse": (sparse, {}),
    "mixed": (mixed, {}),
    "images": (images, {}),
    "patches": (images, {"images": ImageInput(groups="patch", patch_size=2)}),
    "augmented": (
        images,
        {"images": ImageInput(transform=brightened), "distillation": 0.3},
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_a_fit_that_is_interrupted_ends_as_one_that_is_not(
    name, planted, pictures, path, monkeypatch
):
    kind, params = FITS[name]
    estimator, data = kind(pictures if kind is images else planted, **params)
    whole = clone(estimator).fit(*data)
    stop_after(monkeypatch, n_epochs=4)

    def fit(path):
        return clone(estimator).set_params(checkpoint=path).fit(*data)

    resumed, n_calls = call_until_done(fit, path)
    assert n_calls > 1
    assert_bit_identical(resumed, whole)


@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_path_that_is_interrupted_ends_as_one_that_is_not(
    kind, planted, pictures, path, monkeypatch
):
    params = {"max_epochs": 20, "retrain_epochs": 16}
    if kind == "table":
        estimator, data = table(planted, **params)
    else:
        estimator, data = images(pictures, **params)

    def follow(path):
        return joint_prune_path(
            *data,
            n_alphas=3,
            estimator=estimator,
            return_estimators=True,
            checkpoint=path,
        )

    whole = follow(None)
    stop_after(monkeypatch, n_epochs=9)
    resumed, n_calls = call_until_done(follow, path)
    assert n_calls > 3
    for name in ("alphas", "supports", "scores", "importances"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    for pair in zip(resumed.estimators, whole.estimators, strict=True):
        assert_bit_identical(*pair)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("by", "kinds"),
    [("KILL", ["table, `alpha`, taught"]), ("TERM", ["images"])],
)
def test_fits_that_are_killed_at_random_moments_end_alike(by, kinds):
    """Also in the middle of an epoch, or of a write."""
    command = [sys.executable, "resume.py", "--quick", "--moments", "1"]
    done = subprocess.run(
        [*command, "--signal", by, "--kind", *kinds],
        cwd=BENCHMARKS,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = re.search(r"(\d+) of (\d+) ended bit-identical; (\d+) of", done.stdout)
    alike, killed, went_on = map(int, told.groups())
    assert alike == killed >= 2 * len(kinds)
    assert went_on > 0  # others ended before the first write, or after the last


@pytest.fixture
def interrupted(planted, path, monkeypatch):
    """Leave the file of a fit that was stopped, and return what was fitted."""
    estimator, (X, y) = table(planted, alpha=0.05, checkpoint=path)
    with monkeypatch.context() as patched:
        stop_after(patched, n_epochs=3)
        with pytest.raises(Stop):
            estimator.fit(X, y)
    assert os.listdir(os.path.dirname(path)) == ["fit"]
    return estimator, X, y


def other(array):
    new = np.array(array)
    new[7] = new[8] if new.ndim == 1 and new[7] != new[8] else 1 - new[7]
    return new


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"lr": 3e-3}, "parameters: `lr`"),
        ({"alpha": 0.06, "prune": "inputs"}, "parameters: `alpha`, `prune`"),
        ({"random_state": 1}, "parameters: `random_state`"),
        ({"random_state": None}, "parameters: `random_state`"),
        ({"module__dropout": 0.3}, "parameters: `module__dropout`"),
        ({"module": SmallConvNet}, "parameters: `module`"),
        ({"callbacks": [EarlyStopping()]}, "parameters: `callbacks`"),
        ({"images__patch_size": 2}, "parameters: `images__groups`, `images__"),
    ],
)
def test_other_parameters_are_named(interrupted, params, named):
    estimator, X, y = interrupted
    before = Path(estimator.checkpoint).read_bytes()
    with pytest.raises(ValueError, match=f"other {named}.* or remove the file"):
        estimator.set_params(**params).fit(X, y)
    assert Path(estimator.checkpoint).read_bytes() == before


def test_other_data_are_named(interrupted, path):
    estimator, X, y = interrupted
    weight = np.linspace(1, 2, len(y))
    for data, named in [
        ((other(X), y), "`X`"),
        ((X[:, ::-1], y), "`X`"),
        ((pd.DataFrame(X).rename(columns=str), y), "`X`"),
        ((X, other(y)), "`y`"),
        ((X, np.where(y, "b", "a")), "`y`"),
        ((X, y, weight), "`sample_weight`"),
        ((X[:-1], y[:-1]), "`X`, `y`"),
    ]:
        with pytest.raises(ValueError, match=f"other data: {named}\\. Give"):
            clone(estimator).set_params(checkpoint=path).fit(*data)
    estimator.fit(X, y)
    assert not os.path.exists(path)


def test_what_does_not_matter_may_be_other(interrupted, capsys):
    estimator, X, y = interrupted
    estimator.set_params(verbose=1).fit(X.copy(), list(y))
    assert not os.path.exists(estimator.checkpoint)


def test_what_cannot_be_compared_is_refused(planted, path):
    estimator, data = table(planted, checkpoint=path)
    lock = threading.Lock()
    estimator.set_params(module=lambda n_features_in: lock)
    with pytest.raises(TypeError, match="`module` cannot be compared"):
        estimator.fit(*data)


def test_another_call_is_named(interrupted, path):
    estimator, X, y = interrupted
    kind = JointPruneRegressor(**SHORT, alpha=0.05, checkpoint=path)
    with pytest.raises(ValueError, match="`estimator`"):
        kind.fit(X, X[:, 0])
    with pytest.raises(ValueError, match="`call`"):
        joint_prune_path(X, y, estimator=clone(estimator), checkpoint=path)


def test_damage_is_told_and_changes_nothing(interrupted, path):
    estimator, X, y = interrupted
    data = Path(path).read_bytes()
    rng = np.random.default_rng(0)
    damaged = [data[:n] for n in (0, 1, 100, len(data) // 2, len(data) - 1)]
    for i in [0, 40, len(data) - 1, *rng.integers(len(data), size=20)]:
        flipped = bytearray(data)
        flipped[i] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    for content in [*damaged, b"a,b\n1,2\n" * 50]:
        Path(path).write_bytes(content)
        with pytest.raises(ValueError, match=r"(cut short|changed).* Remove"):
            estimator.fit(X, y)
        assert Path(path).read_bytes() == content
        assert os.listdir(os.path.dirname(path)) == ["fit"]
        assert not hasattr(estimator, "support_")
    Path(path).write_bytes(data)
    assert estimator.fit(X, y).support_.any()


def test_a_file_of_save_is_no_checkpoint(interrupted, path, fitted):
    estimator, X, y = interrupted
    with pytest.raises(ValueError, match="not a file that `save` wrote"):
        load(path)
    save(fitted, path)
    with pytest.raises(ValueError, match="is no checkpoint"):
        estimator.fit(X, y)
    assert load(path).support_.sum() == fitted.support_.sum()


@pytest.mark.parametrize("name", ["", "."])
def test_a_folder_is_no_file(tmp_path, planted, name):
    estimator, data = table(planted, checkpoint=str(tmp_path / name))
    with pytest.raises(ValueError, match="must name a file in a folder"):
        estimator.fit(*data)
    estimator.set_params(checkpoint=tmp_path / "none" / "fit")
    with pytest.raises(ValueError, match="must name a file in a folder"):
        estimator.fit(*data)


def test_a_seed_that_was_drawn_is_drawn_once(planted, path, monkeypatch):
    estimator, data = table(planted, alpha=0.05, random_state=None)
    estimator.set_params(checkpoint=path)
    whole = clone(estimator).set_params(checkpoint=path)
    with monkeypatch.context() as patched:
        patched.setattr("skjointprune._training.checkpoint.draw_seed", lambda _: 7)
        whole.fit(*data)
        stop_after(patched, n_epochs=3)
        with pytest.raises(Stop):
            estimator.fit(*data)
    assert_bit_identical(estimator.fit(*data), whole)


def test_a_failure_leaves_the_file_and_the_estimator(interrupted, path, monkeypatch):
    estimator, X, y = interrupted
    monkeypatch.setattr(
        "skjointprune._training.problem.Problem.trace_back", lambda *a: 1 / 0
    )
    before = Path(path).read_bytes()
    with pytest.raises(ZeroDivisionError):
        estimator.fit(X, y)
    assert Path(path).read_bytes() == before
    assert not hasattr(estimator, "support_")
    assert os.listdir(os.path.dirname(path)) == ["fit"]


def test_clones_have_no_checkpoint(planted, path):
    estimator, data = table(planted, alpha=0.05, checkpoint=path)
    assert clone(estimator).checkpoint is None
    assert clone(InputFeatureSelector(estimator)).estimator.checkpoint is None
    assert estimator.get_params()["checkpoint"] == path
    Path(path).write_bytes(b"of another fit")
    GridSearchCV(estimator, {"lr": [1e-3, 1e-2]}, cv=2, error_score="raise").fit(*data)
    assert Path(path).read_bytes() == b"of another fit"


def test_a_selector_hands_the_checkpoint_on(planted, path, monkeypatch):
    estimator, data = table(planted, alpha=0.05, checkpoint=path)
    selector = InputFeatureSelector(estimator)
    whole = InputFeatureSelector(clone(estimator)).fit(*data)
    with monkeypatch.context() as patched:
        stop_after(patched, n_epochs=3)
        with pytest.raises(Stop):
            selector.fit(*data)
    assert os.path.exists(path)
    assert_bit_identical(selector.fit(*data).estimator_, whole.estimator_)


def test_a_path_refuses_the_checkpoint_of_its_estimator(planted, path):
    estimator, data = table(planted, checkpoint=path)
    with pytest.raises(ValueError, match="pass it to joint_prune_path"):
        joint_prune_path(*data, estimator=estimator)


def test_one_fit_at_a_time_has_a_file(planted, path, monkeypatch):
    estimator, data = table(planted, alpha=0.05, checkpoint=path)
    write_each_epoch(monkeypatch)
    again = clone(estimator).set_params(checkpoint=path)
    seen = []

    def fit_another(self, point):
        with pytest.raises(ValueError, match="in use by another fit"):
            again.fit(*data)
        seen.append(1)

    monkeypatch.setattr(
        "skjointprune._training.search.Judge.look", fit_another, raising=True
    )
    estimator.set_params(alpha="auto")
    monkeypatch.setattr(
        "skjointprune._training.search.Judge.says_nothing", True, raising=True
    )
    with pytest.warns(UserWarning, match="says anything"):
        estimator.fit(*data)
    assert seen
    again.fit(*data)


def test_a_saved_estimator_has_no_checkpoint(planted, path, tmp_path):
    estimator, data = table(planted, alpha=0.05, checkpoint=Path(path))
    save(estimator.fit(*data), tmp_path / "model")
    assert load(tmp_path / "model").checkpoint is None


def test_a_file_that_cannot_be_written_is_refused(planted, path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("skjointprune._storage.lock.Lock.acquire", refuse)
    estimator, data = table(planted, checkpoint=path)
    with pytest.raises(ValueError, match=r"can be written.*Permission denied"):
        estimator.fit(*data)
