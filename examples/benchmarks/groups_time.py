"""Seconds of the processor in which the groups of large networks are found.

Networks of images, 224 pixels a side unless said otherwise, with random weights; timm
is needed. Each is traced three times, one after the other, and the median is printed.

    OMP_NUM_THREADS=1 python groups_time.py
    OMP_NUM_THREADS=1 python groups_time.py --pixels 64 --only densenet121
"""

import time

import numpy as np
from _common import make_parser, print_header, print_table
from _network_list import all_cases

from skjointprune._graph.groups import find_groups

LARGE = ["densenet121", "tresnet_m", "mobileone_s0"]


def seconds_of(name, pixels):
    """Return the seconds in which the groups of a network are found."""
    module = all_cases()[name].make()
    start = time.process_time()
    find_groups(module, (3, pixels, pixels))
    return time.process_time() - start


def main():
    """Print the median of each network."""
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=LARGE, help="names of networks")
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print_header()
    seconds_of(args.only[0], 64)  # imports what is imported once
    rows = []
    for name in args.only:
        seconds = [seconds_of(name, args.pixels) for _ in range(args.repeats)]
        rows.append({"network": name, "seconds": f"{np.median(seconds):.1f}"})
    print_table(rows)


if __name__ == "__main__":
    main()
