"""Check that a wheel and an sdist hold what they should, and work without the checkout.

python .ci/check_dist.py dist/*

Each is installed into a folder of its own; what it needs, this environment has.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WITHIN = {  # what an archive must hold, and what it must not, by its suffix
    ".whl": (["skjointprune/py.typed"], ["tests/", "docs/", "examples/"]),
    ".gz": (["skjointprune/py.typed", "tests/conftest.py", "LICENSE"], [".venv/"]),
}
USE = """
import sys
from pathlib import Path
import skjointprune
skjointprune.JointPruneClassifier().get_params()
files = [m.__file__ for name, m in sys.modules.items() if name.startswith("skjoint")]
elsewhere = [file for file in files if Path(sys.argv[1]) not in Path(file).parents]
assert not elsewhere, f"imported from elsewhere: {elsewhere}"
assert Path(skjointprune.__file__).with_name("py.typed").is_file()
print(skjointprune.__version__)
"""


def names_within(archive):
    """Return the names of an archive's files; an sdist has them in one folder."""
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).namelist()
    return [name.partition("/")[2] for name in tarfile.open(archive).getnames()]


def check_names(archive):
    """Exit unless an archive holds what it must, and nothing that it must not."""
    names = names_within(archive)
    needed, unwanted = WITHIN[archive.suffix]
    missing = sorted(set(needed) - set(names))
    too_many = [name for name in names if name.startswith(tuple(unwanted))]
    if missing or too_many:
        sys.exit(f"{archive.name}: misses {missing}, has {too_many[:3]} too many.")


def check_use(archive):
    """Install an archive into a folder, and import it from there."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", folder, archive], check=True)
        subprocess.run(
            [sys.executable, "-c", USE, folder],
            check=True,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": folder},
        )


def main():
    """Check the archives that are named."""
    archives = [Path(name).resolve() for name in sys.argv[1:]]
    if {archive.suffix for archive in archives} != set(WITHIN):
        sys.exit(f"Needs one wheel and one sdist. Got {sys.argv[1:]}.")
    for archive in archives:
        check_names(archive)
        check_use(archive)


if __name__ == "__main__":
    main()
