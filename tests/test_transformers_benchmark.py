"""The benchmark of small transformers, on a few random rows."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Import the benchmark, and what lies beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("transformers_halved")


@pytest.fixture
def folder(tmp_path):
    """Make data files of a few random rows."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(80, 28, 28), dtype=np.uint8)
    labels = np.arange(80) % 10
    np.savez(
        tmp_path / "mnist.npz",
        x_train=pixels,
        y_train=labels,
        x_test=pixels,
        y_test=labels,
    )
    (tmp_path / "tables").mkdir()
    words = {"X": rng.poisson(1.0, size=(80, 60)), "Y": np.arange(80) % 2}
    savemat(tmp_path / "tables" / "BASEHOCK.mat", words)
    return tmp_path


@pytest.mark.filterwarnings("ignore:`alpha`=")  # that of the benchmark is for more rows
def test_each_transformer_has_a_table(benchmark, folder, monkeypatch, capsys):
    pytest.importorskip("timm")
    pytest.importorskip("transformers")
    argv = ["transformers_halved.py", "--data", str(folder), "--quick", "--seeds", "1"]
    monkeypatch.setattr("sys.argv", argv)
    benchmark.main()
    out = capsys.readouterr().out
    for title in ("## ViT", "## BERT"):
        table = out.partition(title)[2]
        for kind in ("dense", "pruned", "narrow"):
            assert f"\n{kind} " in table


def test_words_are_those_of_a_document_the_rarest_first(benchmark):
    data = importlib.import_module("_data")
    X = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]], np.float32)
    split = benchmark.as_words(data.Split(X, np.zeros(4), X[:1], np.zeros(1)))
    # a word that all have, the first, has no weight
    assert split.X_train.tolist() == [
        [3, 0, 0, 0],
        [2, 0, 0, 0],
        [3, 0, 0, 0],
        [2, 3, 0, 0],
    ]
    assert split.X_test.tolist() == [[3, 0, 0, 0]]


def test_search_takes_what_is_closest_to_half(benchmark, monkeypatch):
    class Fake:
        def __init__(self, *, alpha, **settings):
            assert settings["retrain_epochs"] == 0
            self.alpha, self.report_ = alpha, self

        def fit(self, X, y):
            self.macs_ratio = 1 / (1 + 100 * self.alpha)
            return self

    monkeypatch.setattr(benchmark, "JointPruneClassifier", Fake)
    data = importlib.import_module("_data")
    X = np.zeros((2, 1, 8, 8), np.uint8)
    split = data.Split(X, np.zeros(2), X, np.zeros(2))
    task = benchmark.TASKS["BERT"]
    for first in (0.0001, 0.5):
        tried = task.__class__(**vars(task) | {"first_alpha": first})
        alpha = benchmark.find_alpha(tried, split, 12)
        assert abs(1 / (1 + 100 * alpha) - 0.5) <= benchmark.TOLERANCE
    assert benchmark.find_alpha(tried, split, 1) == first
