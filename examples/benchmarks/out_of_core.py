"""A table in a Parquet file against the same table in memory, by the number of rows.

Of 50 columns 5 say something about y, and 5 are asked for. A fit has one epoch of all
columns, then sparsifies and retrains with its defaults. Each runs in a process of its
own. Printed are how much the process grows beyond its imports, rows a second over all
epochs, the shared inputs, and the bytes that the first and the last epoch read.

The file is made in a temporary folder, and removed: 50 columns take 205 bytes a row.

    OMP_NUM_THREADS=1 python out_of_core.py --rows 200000 1000000 5000000
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
from _common import make_parser, peak_memory_mb, print_header, print_table, run_in_child
from skorch.callbacks import Callback

from skjointprune import JointPruneRegressor

N_INFORMATIVE = 5
ROWS_OF_A_GROUP = 2**16


class BytesRead(Callback):
    """Note how many bytes the process reads from files in each epoch, on Linux."""

    def on_epoch_begin(self, net, **kwargs):
        """Remember where it is."""
        self.before_ = bytes_read()

    def on_epoch_end(self, net, **kwargs):
        """Record what came since."""
        net.history.record("bytes", bytes_read() - self.before_)


def bytes_read():
    """Return how many bytes this process has read, 0 where the system does not tell."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0
    return int(counters.read_text().split()[1])


def write(path, n_rows, n_columns):
    """Write a table, group by group."""
    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, n_rows, ROWS_OF_A_GROUP):
        n = min(ROWS_OF_A_GROUP, n_rows - start)
        X = rng.standard_normal((n_columns, n), dtype=np.float32)
        a, b, c, d, e = X[:N_INFORMATIVE]
        noise = rng.standard_normal(n, dtype=np.float32)
        y = a + np.sin(2 * b) + c * d + np.abs(e) + 0.3 * noise
        table = pa.table({f"x{i}": x for i, x in enumerate(X)} | {"y": y})
        writer = writer or pa.parquet.ParquetWriter(
            path, table.schema, use_dictionary=False
        )
        writer.write_table(table)
    writer.close()


def fit(path, streamed, hidden, epochs):
    """Return support, score, seconds, row passes, MB of growth, and bytes of epochs."""
    dataset = pa.dataset.dataset(path)
    before = peak_memory_mb()
    X, y = dataset, "y"
    if not streamed:
        X = pa.parquet.read_table(path).to_pandas()
        y = X.pop("y").to_numpy()
    reg = JointPruneRegressor(
        hidden,
        n_features_to_select=N_INFORMATIVE,
        pretrain_epochs=1,
        max_epochs=epochs,
        retrain_epochs=epochs,
        callbacks=[BytesRead()],
        random_state=0,
    )
    start, processor = time.perf_counter(), time.process_time()
    reg.fit(X, y)
    seconds = time.perf_counter() - start
    processor = time.process_time() - processor
    found = reg.get_support(indices=True)
    score = reg.report_.scores["after retraining"]
    passes = dataset.count_rows() * len(reg.history_)
    read = reg.history_[0, "bytes"], reg.history_[-1, "bytes"]
    return found, score, seconds, processor, passes, peak_memory_mb() - before, read


def compare(path, n_rows, args):
    """Return rows to print of one file: streamed and, if it is asked for, in memory."""
    hidden, epochs = tuple(args.hidden), 4 if args.quick else "auto"

    def run(streamed):
        if args.quick:  # without the time of a process, which tells no memory
            return fit(path, streamed, hidden, epochs)
        return run_in_child(fit, path, streamed, hidden, epochs)

    results = {"streamed": run(True)}
    if n_rows <= args.in_memory_up_to:
        results["in memory"] = run(False)
    supports = [set(result[0].tolist()) for result in results.values()]
    rows = []
    for name, (_, score, seconds, processor, passes, more, read) in results.items():
        first, last = (n / 2**20 for n in read)
        of_streamed = name == "streamed" and first > 0
        rows.append(
            {
                "rows": f"{n_rows:,}",
                "X": name,
                "MB above imports": f"{more:.0f}",
                "rows a second": f"{passes / seconds:,.0f}",
                "seconds": f"{seconds:.1f}",
                "of processors": f"{processor:.1f}",
                "R2 held out": f"{score:.4f}",
                "support": "same" if len({*map(frozenset, supports)}) == 1 else "other",
                "MB of first epoch": f"{first:.1f}" if of_streamed else "",
                "MB of last": f"{last:.1f}" if of_streamed else "",
            }
        )
    if len(results) == 1:
        right = supports[0] == set(range(N_INFORMATIVE))
        rows[0]["support"] = "right" if right else "other"
    return rows


def main():
    """Print two lines for each number of rows."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 128])
    parser.add_argument("--in-memory-up-to", type=int, default=5_000_000)
    parser.add_argument("--folder", help="for the file; a temporary one by default")
    parser.add_argument("--quick", action="store_true", help="a few seconds in all")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.columns, args.hidden = [22_000], 200, [16]
    print_header()
    rows = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / "table.parquet"
        for n_rows in args.rows:
            write(path, n_rows, args.columns)
            rows += compare(path, n_rows, args)
    print_table(rows)


if __name__ == "__main__":
    main()
