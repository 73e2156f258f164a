"""The notebooks run from top to bottom, and are stored without outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def test_there_are_notebooks():
    names = [path.name for path in NOTEBOOKS]
    assert names == ["grid_search.ipynb", "interpret_support.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.fixture
def kernel(tmp_path):
    """A kernel that finds the package, and draws inline."""
    manager = KernelManager(kernel_name="python3")
    paths = [str(EXAMPLES.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {
        "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    env.pop("MPLBACKEND", None)  # else nothing is drawn inline
    manager.start_kernel(env=env)
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.filterwarnings("default::DeprecationWarning")  # of jupyter's own
def test_notebooks_run(kernel):
    for path in NOTEBOOKS:  # in one kernel, which takes seconds to import
        notebook = nbformat.read(path, as_version=4)
        # it must not need what the one before has defined
        notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
        NotebookClient(notebook, km=kernel, timeout=120).execute()
        outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
        kinds = {kind for out in outputs for kind in out.get("data", {})}
        assert "image/png" in kinds, path.name
        assert not [out for out in outputs if out.output_type == "error"]
        printed = "".join(out.text for out in outputs if out.output_type == "stream")
        assert "Warning" not in printed
