"""The benchmark of many tables, on two that need no data folder."""

import importlib
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"
# tables, with extra columns or not, levels of k, ways to choose; models of all inputs
N_CHOICES, N_MODELS = 3, 4


@pytest.fixture
def helper(monkeypatch):
    """Import a module that lies beside the benchmarks."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def run_quick(helper, monkeypatch, capsys):
    def run(results, *options):
        argv = ["tables.py", "--quick", "--results", str(results), *options]
        monkeypatch.setattr("sys.argv", argv)
        helper("tables").main()
        out, progress = capsys.readouterr()
        assert "Traceback" not in progress
        return out.partition("## Tables as they are")[2], progress

    return run


def test_quick_run_resumes_and_prints_what_is_there(run_quick, tmp_path):
    results = tmp_path / "results.jsonl"
    printed, _ = run_quick(results)
    lines = results.read_text().splitlines(keepends=True)
    # both levels of k, as they are and with extra columns, in two folds and one split
    assert len(lines) == (2 * N_CHOICES + N_MODELS) * 2 * (2 + 1)
    assert "## Tables with extra columns" in printed
    assert re.search(r"^each k +2 +0 +\d of 2", printed, re.MULTILINE)

    # a run that was stopped while it wrote its last line
    results.write_text("".join(lines[:-1]) + lines[-1][:20] + "\n")
    again, progress = run_quick(results)
    assert progress.count("\n") == 1
    before, after = json.loads(lines[-1]), json.loads(_last(results))
    seconds = {"seconds": 0, "choosing": 0}
    assert before | seconds == after | seconds

    shown, progress = run_quick(results, "--print")
    assert shown == again
    assert progress == ""


def _last(path):
    return path.read_text().splitlines()[-1]


def test_extra_columns_keep_the_table_and_need_no_test_rows(helper):
    tables, data = helper("_tables"), helper("_data")
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, size=(300, 7)).astype(np.float32)
    X[:, 2] = 1.0  # constant
    y = X[:, 0].astype(float)
    split = tables.add_columns(data.Split(X[:200], y[:200], X[200:], y[200:]))
    other = tables.add_columns(data.Split(X[:200], y[:200], 9 * X[200:], y[200:]))
    assert split.n_features == 14
    assert split.X_train.dtype == np.float32
    assert np.isfinite(split.X_train).all()
    np.testing.assert_array_equal(split.X_train[:, :7], X[:200])
    np.testing.assert_array_equal(split.X_test[:, :7], X[200:])
    np.testing.assert_array_equal(split.X_train, other.X_train)
    # noise is of no scale of theirs, and no product is of a column with itself
    assert abs(split.X_train[:, 7:10].mean()) < 0.2
    assert abs(split.X_train[:, 12:].mean()) < 0.3


def test_folds_hold_out_each_row_twice(helper):
    tables = helper("_tables")
    held_out = np.concatenate(
        [
            tables.split_of(tables.Job("diabetes", ".", False, run, None)).X_test
            for run in range(tables.N_FOLDS)
        ]
    )
    _, times = np.unique(held_out, axis=0, return_counts=True)
    assert (times == 2).all()
    assert len(times) == 442


@pytest.mark.parametrize(
    ("n_inputs", "levels"),
    [
        (5, {"1/4": 1, "1/2": 2}),
        (26, {"1/4": 6, "1/2": 13}),
        (32, {"10": 10, "25": 25}),
        (784, {"10": 10, "25": 25, "50": 50}),
    ],
)
def test_k_is_a_share_of_few_inputs(helper, n_inputs, levels):
    assert helper("_tables").levels_of(n_inputs) == levels


def run_of(table, method, score, run=0):
    """Return a line of the results, as far as ranks read it."""
    about = {"regression": True, "table_rows": 600, "table_inputs": 8}
    return about | {
        "table": table,
        "level": "1/2",
        "k": 4,
        "method": method,
        "score": score,
        "run": run,
    }


def test_equal_scores_share_a_rank_and_what_was_over_the_limit_is_last(helper):
    ranks = helper("_ranks")
    methods = ["ours", "forest", "l1", "lassonet"]
    scores = {
        "first": [0.9, 0.9, 0.8, None],
        "second": [0.795, 0.8, 0.7, 0.6],  # within .005 of the best
        "third": [0.79, 0.8, 0.7, 0.6],  # not
    }
    runs = [
        run_of(table, method, score)
        for table, row in scores.items()
        for method, score in zip(methods, row, strict=True)
    ]
    row, whole = ranks.rank_rows(ranks.cells_of(runs), methods)
    assert row["ours at least equal"] == "2 of 3, 0.667"
    assert [row[method] for method in methods] == ["1.83", "1.17", "3.00", "4.00"]
    assert whole == row | {"k": "each k"}


def test_cells_where_a_method_has_not_ended_do_not_count(helper):
    ranks = helper("_ranks")
    runs = [run_of("first", method, 0.5) for method in ("ours", "forest")]
    runs.append(run_of("first", "ours", 0.9, run=1))  # the forest has no second run
    runs.append(run_of("second", "ours", 0.5))
    row, _ = ranks.rank_rows(ranks.cells_of(runs), ["ours", "forest"])
    assert (row["cells"], row["not ended"]) == (0, 2)
    assert row["ours"] == ""


SCRIPTS = [p.stem for p in sorted(BENCHMARKS.glob("[a-z]*.py"))]


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_benchmark_says_what_it_takes(script, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / f"{script}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out
