"""Seconds of a path of 20 points against those of one fit, defaults throughout.

python path_time.py --data FOLDER
python path_time.py --data FOLDER --only coil20 mice
"""

import time

import numpy as np
from _common import make_parser, print_header, print_table
from _data import DATASETS, add_data_option, load

from skjointprune import joint_prune_path


def seconds(function, *args, **kwargs):
    """Return the seconds of a call."""
    start = time.perf_counter()
    function(*args, **kwargs)
    return time.perf_counter() - start


def measure(split, repeats):
    """Return the seconds of fits and of paths, in turn."""
    X, y = split.X_train, split.y_train
    fits, paths = [], []
    for seed in range(repeats):
        estimator = split.estimator(random_state=seed)
        fits.append(seconds(estimator.fit, X, y))
        paths.append(seconds(joint_prune_path, X, y, estimator=estimator))
    return fits, paths


def main():
    """Print a row for each data set."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    names = ["coil20", "mice", "isolet", "mnist", "pumadyn32nm"]
    parser.add_argument("--only", nargs="+", choices=DATASETS, default=names)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    print_header()
    rows = []
    for data in args.only:
        fits, paths = measure(load(data, args.data), args.repeats)
        rows.append(
            {
                "data": data,
                "fit, s": f"{np.mean(fits):.1f}",
                "path of 20 points, s": f"{np.mean(paths):.1f}",
                "path / fit": f"{np.mean(paths) / np.mean(fits):.2f}",
                "repeats": args.repeats,
            }
        )
    print_table(rows)


if __name__ == "__main__":
    main()
