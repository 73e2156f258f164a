"""
A pruned network in production
==============================

A fitted classifier becomes one ONNX file, which takes rows with all their columns and
gives probabilities. It runs where neither torch nor scikit-learn is installed. (Writing
it needs ``pip install "skjointprune[onnx]"``; here, `onnxruntime` runs it.)
"""

# %%
# A dense network of the digits, and one that is pruned to 20 of the 64 pixels. Fewer
# epochs than the default keep it short.
import argparse
import json
import tempfile
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skjointprune import JointPruneClassifier, export_onnx

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
short = {"max_epochs": 40, "retrain_epochs": 30, "random_state": 0}
networks = {
    "dense": JointPruneClassifier(prune="none", **short),
    "pruned": JointPruneClassifier(n_features_to_select=20, alpha=0.03, **short),
}
for clf in networks.values():
    clf.fit(X_train, y_train)
print(networks["pruned"].report_)

# %%
# One file each. The metadata name the classes, in the order of the probabilities.
folder = Path(tempfile.mkdtemp())
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
sessions = {}
for name, clf in networks.items():
    export_onnx(clf, folder / f"{name}.onnx")
    sessions[name] = onnxruntime.InferenceSession(folder / f"{name}.onnx", options)

metadata = sessions["pruned"].get_modelmeta().custom_metadata_map
print({name: json.loads(value) for name, value in metadata.items()})

# %%
# The file is given whole rows, as float32, and agrees with the estimator.
rows = X_test.astype(np.float32)
classes = np.array(json.loads(metadata["classes"]))
for name, clf in networks.items():
    (probabilities,) = sessions[name].run(None, {"X": rows})
    difference = np.abs(probabilities - clf.predict_proba(X_test)).max()
    accuracy = (classes[probabilities.argmax(axis=1)] == y_test).mean()
    print(f"{name}: accuracy {accuracy:.4f}, largest difference {difference:.1e}")
    assert difference < 1e-5

# %%
# How large the files are, and how long a batch takes on one thread. The median of
# many runs is little disturbed by what else the machine does.
batch_sizes = [1, 10, 100, 1000]


def milliseconds(session, n_rows, n_runs=200):
    """Return the median time that a batch takes."""
    batch = {"X": np.resize(rows, (n_rows, rows.shape[1]))}
    times = []
    for _ in range(n_runs):
        start = perf_counter()
        session.run(None, batch)
        times.append(perf_counter() - start)
    return 1000 * np.median(times)


fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name, session in sessions.items():
    size = (folder / f"{name}.onnx").stat().st_size / 1024
    bar = left.bar(name, size)
    left.bar_label(bar, fmt="%.0f KiB")
    times = [milliseconds(session, n) for n in batch_sizes]
    right.plot(batch_sizes, times, "o-", label=name)
left.set_ylabel("size of the file, KiB")
left.margins(y=0.12)
right.set_xscale("log")
right.set_yscale("log")
right.set_xlabel("rows in a batch")
right.set_ylabel("time of a batch, ms")
right.legend()

# %%
# Run as a script, this saves the picture.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Export a pruned network to ONNX.")
    parser.add_argument("--out", default="export_onnx.png", help="where to save it")
    out = parser.parse_known_args()[0].out
    fig.savefig(out, dpi=150)
    print(f"picture saved as {out}")
