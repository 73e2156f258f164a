"""Networks as people write them: which are cut, how much of them, and how exactly.

Of each network, with random weights and nothing downloaded, in a process of its own
with a limit of time and memory:

- whether `find_groups` traces it, the processor seconds, and which share of the units
  between inputs and outputs may go; of the parameters, how many go when one unit of
  each layer that may lose some stays;
- two random cuts, to 70 % and to 30 % of the channels: whether the compact network
  computes what the zeroed one does (within 1e-4 of the largest output);
- a fit of one epoch on a few rows, and whether `save` and `load`, pickle, ONNX and
  torch.export give the same predictions;
- torch-pruning, if it is installed: 30 % of the channels at random, told what the
  outputs are and nothing else, beside the same network with what makes these zeroed.

Families: structures of other projects' tests (peers), torchvision, networks for tables,
HuggingFace (token models look tokens up, those of "columns" get embeddings of columns),
and timm. They need ``pip install "skjointprune[networks,onnx,save]"``.

Each network is a line of the file --results. What is there is not run again, so that a
run that was stopped goes on where it was. --print prints what is there, as Markdown.

    python networks.py --results FILE
    python networks.py --results FILE --only timm densenet121 --skip-fit
    python networks.py --results FILE --print
    python networks.py --quick
"""

import json
import sys
import tempfile
from pathlib import Path

from _common import make_parser, print_header, run_in_child
from _network_checks import check_network
from _network_list import all_cases
from _network_report import print_report

# Structures that need no further package.
QUICK = [
    "chunk",
    "nested_concat",
    "residual",
    "gate",
    "unet",
    "shuffle",
    "unwrapped",
    "grouped",
    "attention",
    "linear_layers",
]
# Imported once for all networks, those that are installed.
PRELOAD = [
    "skjointprune",
    "timm",
    "torch._dynamo",
    "torch._subclasses.fake_tensor",
    "torch.onnx",
    "torch_pruning",
    "torchvision",
    "transformers",
]


def read(path):
    """Return the lines of a file by the name of the network, the last of each."""
    found = {}
    if path and path.is_file():
        for line in path.open():
            try:
                result = json.loads(line)
            except json.JSONDecodeError:  # cut off when its process was ended
                continue
            found[result["name"]] = result
    return found


def check(name, args):
    """Return what is found out about a network within the limits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "findings.json"
        ended = True
        try:
            fit = not args.skip_fit
            run_in_child(
                check_network,
                name,
                str(path),
                fit,
                args.memory,
                budget=args.limit,
                preload=PRELOAD,
            )
        except (TimeoutError, RuntimeError) as error:
            ended = str(error)
        found = json.loads(path.read_text()) if path.is_file() else {}
    return {"name": name, "family": all_cases()[name].family, "ended": ended} | found


def parse_args():
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--results", type=Path, help="file of JSON lines to go on with")
    parser.add_argument("--only", nargs="+", help="names of networks or families")
    parser.add_argument("--skip-fit", action="store_true", help="find and cut alone")
    parser.add_argument("--print", action="store_true", help="run nothing, only print")
    parser.add_argument("--quick", action="store_true", help="ten structures, no fit")
    parser.add_argument("--limit", type=float, default=300, help="seconds of a network")
    parser.add_argument("--memory", type=float, default=12, help="GiB of a network")
    args = parser.parse_args()
    if args.quick:
        args.only, args.skip_fit = QUICK, True
    known = all_cases()
    unknown = set(args.only or ()) - {*known, *(c.family for c in known.values())}
    if unknown:
        parser.error(f"There are no networks {sorted(unknown)}.")
    if args.print and not (args.results and args.results.is_file()):
        parser.error("--print needs results. Name a file that is there with --results.")
    return args


def main():
    """Run what is missing, then print."""
    args = parse_args()
    names = [
        name
        for name, case in all_cases().items()
        if args.only is None or {name, case.family} & {*args.only}
    ]
    results = read(args.results)
    if not args.print:
        print_header()
        for name in names:
            if name not in results:
                print(name, file=sys.stderr, flush=True)
                results[name] = check(name, args)
                if args.results:
                    with args.results.open("a") as file:
                        file.write(json.dumps(results[name]) + "\n")
    print_report([results[name] for name in names if name in results])


if __name__ == "__main__":
    main()
