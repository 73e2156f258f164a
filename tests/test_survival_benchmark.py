"""The benchmark of survival sets, on one that is small."""

import importlib
import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


def test_a_quick_run_prints_each_model_at_each_size(monkeypatch, capsys):
    pytest.importorskip("sksurv")
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", ["survival.py", "--quick"])
    importlib.import_module("survival").main()
    printed = capsys.readouterr().out
    assert "veteran: 137 rows, 8 columns, 93% events" in printed
    for row in ("2 +Coxnet", "2 +ours", "all +ours", "all +forest"):
        assert re.search(rf"^{row} +0\.\d+ ± ", printed, re.MULTILINE), row
    assert re.search(r"^2 +ours .* 2\.0 ", printed, re.MULTILINE)
