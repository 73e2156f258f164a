"""The benchmark of error rates, in small."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.reload(importlib.import_module("error_control"))


@pytest.fixture
def run_quick(benchmark, monkeypatch, capsys):
    def run(results, *options):
        argv = ["error_control.py", "--quick", "--results", str(results), *options]
        monkeypatch.setattr("sys.argv", argv)
        benchmark.main()
        return capsys.readouterr().out.partition("## Each cell")[2]

    return run


def test_quick_run_resumes_and_prints_what_is_there(run_quick, tmp_path):
    results = tmp_path / "results.jsonl"
    printed = run_quick(results)
    lines = results.read_text().splitlines(keepends=True)
    assert len(lines) == 3 * 2 * 2  # methods, kinds, designs
    assert "FDR at 0.1" in printed and "power at 0.2" in printed

    # a run that was stopped while it wrote its last line
    results.write_text("".join(lines[:-1]) + lines[-1][:20] + "\n")
    run_quick(results)
    before, after = (json.loads(text) for text in (lines[-1], _last(results)))
    assert before | {"seconds": 0} == after | {"seconds": 0}
    size = results.stat().st_size
    assert run_quick(results, "--print").count("|") == printed.count("|")
    assert results.stat().st_size == size


def _last(path):
    return path.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("design", "next_to", "far"),
    [
        ("independent", 0, 0),
        ("ar_0.5", 0.5, 0),
        ("ar_0.8", 0.8, 0.8**15),
        ("block", 0.5, 0),
        ("heavy", 0, 0),
    ],
)
def test_designs_have_the_correlations_that_are_said(benchmark, design, next_to, far):
    X = benchmark.draw_inputs(design, 40_000, 20, np.random.default_rng(0))
    correlations = np.corrcoef(X.T)
    assert correlations[0, 1] == pytest.approx(next_to, abs=0.04)
    assert correlations[0, 15] == pytest.approx(far, abs=0.04)
    assert X[:, 3].std() == pytest.approx(1, abs=0.1)


def test_permuted_targets_have_no_true_inputs(benchmark):
    X, y, true, regression = benchmark.draw_table("permuted", "block", 50, 12, 0)
    assert not true.any() and regression
    assert 0 <= X.min() < X.max() < 1
    assert len(np.unique(y)) == 50


def test_genes_that_are_found_are_columns_of_the_table(benchmark, monkeypatch, capsys):
    expression = importlib.reload(importlib.import_module("expression"))
    X = np.random.default_rng(0).normal(size=(300, 12)) * np.tile([1, 3, 2, 4], 3)
    genes = [1, 2, 3, 5, 6, 7, 10, 11]
    assert expression.most_varied(X, 6).tolist() == [1, 3, 5, 7, 9, 11]
    X[:, 9] /= 10  # which leaves it out
    assert expression.most_varied(X, 8).tolist() == genes
    table = X, (X[:, [3, 7, 11]].sum(axis=1) > 0).astype(int)
    monkeypatch.setattr(expression, "all_rows", lambda *_: table)
    monkeypatch.setattr("sys.argv", ["expression.py", "--quick"])
    expression.main()
    *_, by_network, by_lasso = capsys.readouterr().out.splitlines()
    seen = set(map(str, genes))
    for line in by_network, by_lasso:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        found = set(cells[5].split(", ")) - {"none"}  # at a rate of 0.2
        assert found < seen
    assert found  # the lasso finds some
