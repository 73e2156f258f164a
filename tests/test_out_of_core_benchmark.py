"""The benchmark of tables in files, on a small one."""

import importlib
import re
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


def test_a_quick_run_finds_the_same_inputs_and_reads_less(monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", ["out_of_core.py", "--quick"])
    importlib.import_module("out_of_core").main()
    printed = capsys.readouterr().out
    streamed, in_memory = re.findall(r"^22,000 .*$", printed, re.MULTILINE)
    assert " same" in streamed and " same" in in_memory
    if sys.platform != "linux":
        pytest.skip("the system does not tell how many bytes are read")
    first, last = map(float, streamed.split()[-2:])
    assert 0 < last < first / 5
