"""One fit on two processes, by gloo on loopback."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from _helpers import RELEVANT
from _pictures import SmallConvNet
from _rank_fits import (
    LOOPBACK,
    QUICK,
    DrawsByItself,
    Fails,
    Pair,
    fit,
    fit_and_write,
    fit_in_a_thread,
    fit_own_rows,
    fit_till_no_better,
    number_of_rank,
    rows_of_steps,
)
from torch import nn
from torch.nn import functional as F

from skjointprune import (
    JointPruneClassifier,
    JointPruneRegressor,
    JointPruneSurvival,
)
from skjointprune._training.ranks import Ranks, _is_launched, open_ranks
from skjointprune._training.whole_batch import BY_ROW, WholeBatch

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="torch was built without gloo",
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("ranks"))
    assert pair.run(number_of_rank) == [0, 1]
    yield pair
    pair.end()


@pytest.fixture(scope="module")
def numbers(planted):
    X, _ = planted
    return X, X[:, RELEVANT] @ [2.0, -2.0, 1.0]


@pytest.fixture(scope="module")
def times(planted):
    X, _ = planted
    rng = np.random.default_rng(0)
    time = rng.exponential(np.exp(-X[:, RELEVANT] @ [1.0, -1.0, 1.0]))
    event = rng.random(len(X)) < 0.8
    return X, np.array(list(zip(event, time, strict=True)), dtype="?,f8")


def assert_close(here, there):
    np.testing.assert_array_equal(here["support"], there["support"])
    assert here["sizes"] == there["sizes"]
    np.testing.assert_allclose(here["losses"], there["losses"], rtol=1e-4, atol=1e-4)
    for a, b in zip(here["parameters"], there["parameters"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def assert_equal(first, second):
    for name, value in first.items():
        if name == "parameters":
            for a, b in zip(value, second[name], strict=True):
                np.testing.assert_array_equal(a, b)
        else:
            assert np.array_equal(value, second[name]), name


@pytest.mark.parametrize(
    ("kind", "data", "params"),
    [
        (JointPruneClassifier, "planted", {"n_features_to_select": 3}),
        (JointPruneClassifier, "planted", {"alpha": 0.05, "distillation": 0.5}),
        (JointPruneRegressor, "numbers", {}),
        (JointPruneRegressor, "numbers", {"alpha": 0.05, "input_noise": 0.1}),
        (JointPruneSurvival, "times", {"alpha": 0.05}),
        (
            JointPruneClassifier,
            "pictures",
            {"module": SmallConvNet, "alpha": 0.4, "max_epochs": 12},
        ),
    ],
)
def test_two_ranks_end_with_what_one_process_finds(kind, data, params, pair, request):
    data = request.getfixturevalue(data)
    first, second = pair.run(fit, kind, data, params)
    assert_equal(first, second)
    assert_close(fit(kind, data, params), first)


def test_each_rank_is_given_its_share_of_each_batch(pair, planted):
    params = {"alpha": 0.05, "retrain_epochs": 1, "validation_fraction": None}
    first, second = pair.run(rows_of_steps, planted, params)
    alone = rows_of_steps(planted, params)
    assert [a + b for a, b in zip(first, second, strict=True)] == alone
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) == 1


def test_ranks_agree_without_a_random_state(pair, planted):
    params = {"random_state": None, "alpha": 0.05, "optimizer__eps": 1e-8}
    assert_equal(*pair.run(fit, JointPruneClassifier, planted, params))


def test_ranks_agree_where_a_module_draws_unequally_often(pair, planted):
    params = {"module": DrawsByItself, "alpha": 0.05, "retrain_epochs": 1}
    assert_equal(*pair.run(fit, JointPruneClassifier, planted, params))


def test_only_the_first_rank_writes(pair, planted, tmp_path):
    params = {"alpha": 0.05, "retrain_epochs": 3}
    first, second = pair.run(fit_and_write, planted, params, str(tmp_path))
    assert_equal(first, second)
    assert [path.name for path in tmp_path.iterdir()] == ["of_rank_0"]


def test_ranks_stop_early_together(pair, planted):
    params = {"alpha": 0.05, "retrain_epochs": 20}
    first, second = pair.run(fit_till_no_better, planted, params)
    assert_equal(first, second)
    assert_close(fit_till_no_better(planted, params), first)
    assert len(first["losses"]) < QUICK["max_epochs"] + 20


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_raises_ends_all(rank, pair, planted):
    params = {"alpha": 0.05, "callbacks": [Fails(rank)]}
    errors = pair.run(fit, JointPruneClassifier, planted, params)
    assert all(type(error) is ValueError for error in errors)
    assert str(errors[rank]) == "this rank has had enough"
    assert f"Rank {1 - rank} lost another of the 2 ranks" in str(errors[1 - rank])


def test_an_interrupt_of_one_rank_ends_all(pair, planted):
    fails = Fails(rank=0, phase=2, kind=KeyboardInterrupt)
    params = {"alpha": 0.05, "callbacks": [fails]}
    interrupt, error = pair.run(fit, JointPruneClassifier, planted, params)
    assert type(interrupt) is KeyboardInterrupt
    assert "Rank 1 lost another" in str(error)


def test_a_fit_after_one_that_failed_works(pair, planted):
    params = {"alpha": 0.05, "retrain_epochs": 1}
    pair.run(fit, JointPruneClassifier, planted, params | {"callbacks": [Fails()]})
    assert_equal(*pair.run(fit, JointPruneClassifier, planted, params))


def test_ranks_with_rows_of_their_own_are_refused(pair, planted):
    for error in pair.run(fit_own_rows, planted, {}):
        with pytest.raises(ValueError, match="other data than rank 0: 1 of 2 ranks"):
            raise error


@pytest.mark.parametrize("params", [{"compile": True}, {"checkpoint": "file"}])
def test_what_one_process_does_only_is_refused(params, pair, planted):
    (name,) = params
    for error in pair.run(fit, JointPruneClassifier, planted, params):
        with pytest.raises(ValueError, match=f"`{name}` is not for a fit on several"):
            raise error


def test_a_batch_of_fewer_rows_than_ranks_is_refused():
    Ranks(0, 3).refuse_small_batches(3)
    with pytest.raises(ValueError, match="Got batches of 2 rows for 3 ranks"):
        Ranks(0, 3).refuse_small_batches(2)


@pytest.mark.parametrize("n_rows", [0, 1, 7, 8])
def test_shares_are_all_rows_once_and_nearly_equal(n_rows):
    shares = [Ranks(number, 3).share(n_rows) for number in range(3)]
    rows = [range(n_rows)[share] for share in shares]
    assert [row for part in rows for row in part] == list(range(n_rows))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_a_fit_in_a_thread_is_by_itself(pair, planted):
    params = {"alpha": 0.05, "retrain_epochs": 1}
    nothing, alone = pair.run(fit_in_a_thread, planted, params, 1)
    assert nothing is None
    assert_equal(alone, fit(JointPruneClassifier, planted, params))


def test_a_process_by_itself_has_no_ranks():
    with open_ranks() as ranks:
        assert not ranks.several
    assert not torch.distributed.is_initialized()


# What `accelerate launch` 1.15 sets, as it was seen in a script that it started.
ONE_OF_TWO = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "ACCELERATE_MIXED_PRECISION": "no",
}
ALONE_ON_CPU = {
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "ACCELERATE_USE_CPU": "True",
    "ACCELERATE_MIXED_PRECISION": "no",
}


@pytest.mark.parametrize(
    ("variables", "launched"),
    [(ONE_OF_TWO, True), (ALONE_ON_CPU, False)],
    ids=["--multi_gpu", "--cpu"],
)
def test_accelerate_is_seen_where_it_starts_several(monkeypatch, variables, launched):
    for name in ONE_OF_TWO:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _is_launched() == launched


SCRIPT = """
import sys
import numpy as np
import torch
from skjointprune import JointPruneClassifier
torch.set_num_threads(1)
X, y = np.load(sys.argv[1] + "/X.npy"), np.load(sys.argv[1] + "/y.npy")
clf = JointPruneClassifier(**eval(sys.argv[2])).fit(X, y)
number = torch.distributed.get_rank()
np.save(f"{sys.argv[1]}/proba{number}.npy", clf.predict_proba(X))
"""


def test_a_script_that_torchrun_starts_trains_on_its_ranks(tmp_path, planted):
    for name, array in zip("Xy", planted, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    params = QUICK | {"alpha": 0.05, "retrain_epochs": 2}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    at = [
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
        "--local-addr=127.0.0.1",
    ]
    subprocess.run(
        [*launcher, *at, str(script), str(tmp_path), repr(params)],
        check=True,
        env=os.environ | LOOPBACK | {"OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    first, second = (np.load(tmp_path / f"proba{i}.npy") for i in range(2))
    np.testing.assert_array_equal(first, second)
    alone = JointPruneClassifier(**params).fit(*planted)
    np.testing.assert_allclose(alone.predict_proba(planted[0]), first, atol=1e-3)


def whole(n, share):
    return WholeBatch(n, share, lambda tensor: None)


@pytest.mark.parametrize("shape", [(12, 5), (12, 5, 3), (12, 5, 3, 2)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_over_all_ranks_is_that_of_torch(shape, momentum):
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}
    kept, made = (kinds[len(shape)](5, momentum=momentum) for _ in range(2))
    X, target = 3 * torch.randn(shape) + 1, torch.randn(shape)
    found = []
    for layer, runs in ((kept, None), (made, whole(12, slice(0, 12)))):
        given = X.clone().requires_grad_()
        if runs is None:
            outputs = layer(given)
        else:
            with runs:
                outputs = layer(given)
        (outputs - target).square().mean().backward()
        gradients = [p.grad for p in layer.parameters()]
        found.append([outputs, given.grad, *gradients, *layer.buffers()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("draw", BY_ROW)
@pytest.mark.parametrize("times", [1, 2])
def test_what_is_drawn_by_row_is_what_one_process_draws(draw, times):
    kinds = {F.dropout1d: 3, F.dropout2d: 4, F.dropout3d: 5, F.feature_alpha_dropout: 3}
    X = torch.rand(7 * times, *[4, 3, 2, 2][: kinds.get(draw, 2) - 1])
    torch.manual_seed(0)
    expected = draw(X)
    for share in (slice(0, 3), slice(3, 7)):
        rows = slice(share.start * times, share.stop * times)
        torch.manual_seed(0)
        with whole(7, share):
            torch.testing.assert_close(draw(X[rows]), expected[rows], rtol=0, atol=0)


def test_layers_are_as_ever_where_nothing_is_trained():
    X, norm, drop = torch.randn(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)
    norm(X)
    norm.eval(), drop.eval()
    expected = drop(norm(X))
    with whole(8, slice(0, 4)):
        torch.testing.assert_close(drop(norm(X)), expected, rtol=0, atol=0)
