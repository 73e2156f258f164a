"""Kill fits at random moments of each training; how many end as if nothing had been.

A fit of each kind runs to its end. Then, for each training that it consists of, the
same fit is begun, killed at a random moment of that training, begun again in another
process, and compared with the first to the bit: network, importances, history and
report. Checkpoints are written after each epoch, and not once a minute, so that moments
fall into writes as well; with TERM, only because of the signal.

    python resume.py                  # twenty moments of each training
    python resume.py --signal TERM    # ended by a signal that a process can see

Processes are forked, so this needs Linux or macOS.
"""

import importlib
import os
import random
import select
import signal
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from _common import make_parser, print_header, print_table
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn

from skjointprune import JointPruneClassifier, JointPruneRegressor, joint_prune_path
from skjointprune._storage.digest import digest
from skjointprune._training import checkpoint as checkpoints

MOST_TRIES = 10  # for a moment that falls into the training, and not after its end


class Convolutions(nn.Sequential):
    """A small network for images."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__(
            nn.Conv2d(n_features_in, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, n_outputs),
        )


def kinds(n_rows, epochs):
    """Return what to fit by name: functions of the path of a checkpoint."""
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:n_rows], y[:n_rows]
    images, digits = load_digits(return_X_y=True)
    images, digits = images[:n_rows].reshape(-1, 1, 8, 8), digits[:n_rows]
    both = {"max_epochs": epochs, "retrain_epochs": epochs // 2, "random_state": 0}
    table = {**both, "hidden_layer_sizes": (32,)}
    pictures = {**both, "module": Convolutions}

    def classifier(X, y, **params):
        return lambda path: JointPruneClassifier(**params, checkpoint=path).fit(X, y)

    def along_path(X, y, **params):
        return lambda path: joint_prune_path(
            X,
            y,
            n_alphas=3,
            estimator=JointPruneClassifier(**params),
            return_estimators=True,
            checkpoint=path,
        )

    target = X[:, 0] + X[:, 1]
    return {
        'table, `alpha="auto"`': classifier(X, y, **table),
        "table, 5 inputs": classifier(X, y, **table, n_features_to_select=5),
        "table, `alpha`, taught": classifier(
            X, y, **table, alpha=0.05, pretrain_epochs=epochs // 2, distillation=0.5
        ),
        "table, numbers": lambda path: JointPruneRegressor(
            **table, checkpoint=path
        ).fit(X[:, 1:], target),
        "images": classifier(images, digits, **pictures, alpha=0.2),
        "path of a table": along_path(X, y, **table),
        "path of images": along_path(images, digits, **pictures),
    }


def digest_of(result):
    """Return a digest of all that a fit, or a path, has found."""
    if hasattr(result, "estimators"):
        found = [result.alphas, result.supports, result.scores, result.importances]
        return digest([*found, *map(digest_of, result.estimators)])
    history = [
        {name: value for name, value in row.items() if name != "dur"}
        for row in result.history_
    ]
    return digest(
        [
            dict(result.module_.state_dict()),
            result.support_,
            result.feature_importances_,
            result.feature_importances_se_,
            history,
            repr(result.report_),
        ]
    )


class Child:
    """A process that fits, and tells of each training that it begins."""

    def __init__(self, fit, path, by):
        self.receiver, sender = os.pipe()
        self.begun = time.perf_counter()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self.receiver)
                _fit_and_tell(fit, path, sender, by)
                code = 0
            finally:
                os._exit(code)
        os.close(sender)

    def wait_for(self, n_lines):
        """Return this many lines with their times, or fewer if it ends before."""
        lines, times = [], []
        while len(lines) < n_lines:
            select.select([self.receiver], [], [])
            read = os.read(self.receiver, 65)
            if not read:
                break
            lines.append(read.decode().strip())
            times.append(time.perf_counter())
        return lines, times

    def end(self, by=None):
        """End it by a signal, or wait for its end; return how it ended."""
        if by is not None:
            os.kill(self.pid, by)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.receiver)
        return os.waitstatus_to_exitcode(status)


def _fit_and_tell(fit, path, sender, by):
    """Fit; write a line of 65 bytes for each training, and then the digest."""
    warnings.simplefilter("ignore")
    checkpoints.LOOK_AFTER = checkpoints.TIMES_AS_LONG = 0
    if by == signal.SIGKILL:
        checkpoints.WRITE_AFTER = 0
    begin = checkpoints.Checkpoint.begin

    def begin_and_tell(self, run):
        left = begin(self, run)
        os.write(sender, f"{run.phase:<64}\n".encode())
        return left

    checkpoints.Checkpoint.begin = begin_and_tell
    result = digest_of(fit(path))
    os.write(sender, f"{result:<64}\n".encode())


def run_whole(fit, path, by):
    """Return the phase of each training, how long each took, and the digest."""
    child = Child(fit, path, by)
    lines, times = child.wait_for(10**6)
    code = child.end()
    if code or not lines:
        raise RuntimeError(f"a fit ended with code {code}")
    *phases, result = lines
    return phases, np.diff(times), result


def kill_once(fit, path, number, seconds, by):
    """Begin a fit, and end it in its training of a number; tell whether that was so."""
    for _ in range(MOST_TRIES):
        child = Child(fit, path, by)
        lines, _ = child.wait_for(number + 1)
        if len(lines) == number + 1:
            time.sleep(random.random() * seconds)
        if child.end(by) == -by:
            return True
        Path(path).unlink(missing_ok=True)
    return False


def main():
    """Print, for each kind of fit and each training of it, how many end alike."""
    parser = make_parser(__doc__)
    parser.add_argument("--moments", type=int, default=20, help="of each training")
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--kind", nargs="*", help="of fit, by name; all by default")
    parser.add_argument("--quick", action="store_true", help="fits of few epochs")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # a process of several cannot be forked
    importlib.import_module("torch._dynamo")  # here, and not in each process
    random.seed(args.seed)
    print_header()
    by = getattr(signal, f"SIG{args.signal}")
    size = (100, 4) if args.quick else (300, 20)
    total = Counter()
    for kind, fit in kinds(*size).items():
        if args.kind and kind not in args.kind:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows = try_moments(fit, f"{folder}/fit", args.moments, by)
        print(f"\n{kind}")
        print_table(rows)
        for row in rows:
            total += Counter({k: v for k, v in row.items() if isinstance(v, int)})
    print(
        f"\n{total['ended alike']} of {total['killed']} ended bit-identical; "
        f"{total['went on']} of them from a file, the others from the beginning"
    )
    if total["ended alike"] < total["killed"]:
        raise SystemExit(1)


def try_moments(fit, path, n_moments, by):
    """Return a row for each training of a fit."""
    phases, seconds, expected = run_whole(fit, path, by)
    rows = []
    for number, phase in enumerate(phases):
        row = Counter({"killed": 0, "went on": 0, "ended alike": 0})
        for _ in range(n_moments):
            if not kill_once(fit, path, number, seconds[number], by):
                continue
            row["killed"] += 1
            row["went on"] += Path(path).exists()
            _, _, result = run_whole(fit, path, by)
            row["ended alike"] += result == expected
            if left := sorted(os.listdir(Path(path).parent)):
                raise RuntimeError(f"a finished fit has left {left}")
        about = {"training": f"{number + 1}, {phase}"}
        rows.append(about | {"seconds": f"{seconds[number]:.2f}"} | row)
    return rows


if __name__ == "__main__":
    main()
