"""Processor seconds of importing the package, beside those of what it stands on.

Fresh interpreters import in turn torch, scikit-learn and skorch alone; this package;
and, with `--beside`, another checkout of it. Seconds are user and system time, as a
wait for the disk is none of the package's. The first round, which may compile or read
from disk, is not counted.

    python import_time.py
    python import_time.py --beside CHECKOUT --repeats 5
"""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from _common import make_parser, print_header, print_table

ROOT = Path(__file__).parents[2]


def processor_seconds(statement, checkout):
    """Return the processor seconds of a fresh interpreter that runs a statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The working folder comes first on the path of what is imported.
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=checkout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    """Print a row for each import."""
    parser = make_parser(__doc__)
    parser.add_argument("--beside", metavar="CHECKOUT", help="another version")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print_header()
    imports = {
        "torch, scikit-learn, skorch": ("import torch, sklearn, skorch", ROOT),
        "skjointprune": ("import skjointprune", ROOT),
    }
    if args.beside:
        imports["skjointprune, other version"] = ("import skjointprune", args.beside)
    seconds = {name: [] for name in imports}
    for repeat in range(args.repeats + 1):
        for name, what in imports.items():
            taken = processor_seconds(*what)
            if repeat:
                seconds[name].append(taken)
    print_table(
        [
            {
                "import": name,
                "minimum s": f"{min(taken):.2f}",
                "median s": f"{statistics.median(taken):.2f}",
                "maximum s": f"{max(taken):.2f}",
            }
            for name, taken in seconds.items()
        ]
    )


if __name__ == "__main__":
    main()
