"""The benchmark of tables in files, on a small one."""

import importlib
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture(scope="module")
def lines():
    """The lines that a quick run prints, of the table in a file and in memory."""
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(StringIO()) as told:
        patched.syspath_prepend(BENCHMARKS)
        patched.setattr("sys.argv", ["out_of_core.py", "--quick"])
        importlib.import_module("out_of_core").main()
    return re.findall(r"^22,000 .*$", told.getvalue(), re.MULTILINE)


def test_a_quick_run_finds_the_same_inputs(lines):
    streamed, in_memory = lines
    assert " same" in streamed and " same" in in_memory


@pytest.mark.skipif(sys.platform != "linux", reason="it does not count bytes read")
def test_a_quick_run_reads_less_in_the_end(lines):
    first, last = map(float, lines[0].split()[-2:])
    assert 0 < last < first / 5
