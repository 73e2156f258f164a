import json
import os
import pickle
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from _helpers import with_digest, zipped
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from skjointprune import JointPruneClassifier, export_onnx, load, save
from skjointprune._files.save_load import _pack, _read, _unpack
from skjointprune._storage.archive import MODEL, WEIGHTS

SMALL = {"alpha": 0.02, "max_epochs": 2, "retrain_epochs": 1, "random_state": 0}


def test_saving_twice_gives_the_same_bytes_and_nothing_else(joint, tmp_path):
    for name in ("a", "b"):
        save(joint, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    save(load(tmp_path / "a"), str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_file_is_a_plain_zip_of_safetensors_and_json(joint, tmp_path):
    from safetensors.torch import load as load_tensors

    save(joint, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert archive.namelist() == [MODEL, WEIGHTS]
        assert archive.testzip() is None
        model = json.loads(archive.read(MODEL))
        tensors = load_tensors(archive.read(WEIGHTS))
    assert model["params"]["alpha"] == 0.12
    assert model["versions"].keys() >= {"skjointprune", "torch"}
    state = joint.module_.state_dict()
    for name, tensor in state.items():
        # what was put around the user's network has a name of its own
        name = name if name.startswith("inputs.") else f"network.{name}"
        name = name.replace("network.network.", "network.")
        assert torch.equal(tensors[name], tensor)


def test_save_that_fails_leaves_the_old_file(joint, tmp_path, monkeypatch):
    save(joint, tmp_path / "model")
    before = (tmp_path / "model").read_bytes()

    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        save(joint, tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, planted):
    """A file of a very small network, and the rows that it is for."""
    X, y = planted[0][:, :3], planted[1]
    clf = JointPruneClassifier((2,), **SMALL).fit(X, y)
    path = tmp_path_factory.mktemp("tiny") / "model.zip"
    save(clf, path)
    return path, X, clf.predict_proba(X)


def assert_refused(path):
    with pytest.raises(ValueError, match="changed") as caught:
        load(path)
    assert repr(str(path)) in str(caught.value)


def test_every_flipped_byte_gives_an_error(tiny, tmp_path):
    path, X, expected = tiny
    whole = path.read_bytes()
    assert len(whole) < 6000
    bad = tmp_path / "bad"
    bad.write_bytes(whole)
    with open(bad, "r+b", buffering=0) as file:  # in place: new files are slow
        for at, byte in enumerate(whole):
            for bits in (0xFF, 0x01):
                file.seek(at)
                file.write(bytes([byte ^ bits]))
                assert_refused(bad)
            file.seek(at)
            file.write(bytes([byte]))
    np.testing.assert_array_equal(load(bad).predict_proba(X), expected)


def test_every_truncation_gives_an_error(tiny, tmp_path):
    whole = tiny[0].read_bytes()
    bad = tmp_path / "bad"
    bad.write_bytes(whole)
    for n in reversed(range(len(whole))):
        os.truncate(bad, n)
        assert_refused(bad)


def test_more_at_either_end_gives_an_error(tiny, tmp_path):
    whole = tiny[0].read_bytes()
    bad = tmp_path / "bad"
    for data in (whole + b"\n", b"\n" + whole, whole + whole, whole[1:]):
        bad.write_bytes(data)
        assert_refused(bad)


def edits(value):
    """Yield a JSON value with each part of it, in turn, replaced by another."""
    yield None
    yield "x"
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(items):
            for new in edits(inner):
                edited = value.copy()
                edited[key] = new
                yield edited


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_edited_model_with_a_right_digest_gives_a_value_error_or_loads(tiny):
    text, weights = _unpack(tiny[0].read_bytes())
    model = json.loads(text)
    del model["fit"]["history"][0]["rows"][1:]
    outcomes = {"loads": 0, "refused": 0}
    for edited in edits(model):
        try:
            _read(_pack(json.dumps(edited).encode(), weights), None)
        except ValueError:
            outcomes["refused"] += 1
        else:
            outcomes["loads"] += 1
    assert outcomes["refused"] > 50


@pytest.mark.parametrize("name", ["predict", "__class__", "alpha"])
def test_file_sets_nothing_but_attributes_of_a_fit(tiny, name):
    path, X, expected = tiny
    text, weights = _unpack(path.read_bytes())
    model = json.loads(text)
    for of_file in (model, model["fit"], model["fit"]["inputs"]):
        of_file[name] = 1
    loaded = _read(_pack(json.dumps(model).encode(), weights), None)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    around = {"class": "JointPruneCV", "params": {}, "estimator_": model}
    around["attributes"] = {name: 1}
    renamed = {f"estimator_.{k}": t for k, t in load_tensors(weights).items()}
    with pytest.raises(ValueError, match="no attribute of JointPruneCV"):
        _read(_pack(json.dumps(around).encode(), save_tensors(renamed)), None)


def test_foreign_files_give_clear_errors(joint, tmp_path):
    foreign = {
        "empty": b"",
        "text": b"skjointprune" * 20,
        "png": b"\x89PNG\r\n\x1a\n" + bytes(200),
        "pickle": pickle.dumps(joint),
        "zip": zipped([("word/document.xml", "<a/>" * 100)]),
        "zeros": bytes(5000),
    }
    for name, data in foreign.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match="not a file that `save` wrote") as caught:
            load(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(ValueError, match="folder"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=r"`path` must .* make the folder"):
        save(joint, tmp_path / "missing" / "model")
    with pytest.raises(IsADirectoryError):
        save(joint, tmp_path)
    for call in (load, partial(save, joint), partial(export_onnx, joint)):
        with pytest.raises(TypeError, match=r"`path` must be text .* Got None"):
            call(None)


def test_members_that_save_does_not_write_are_refused(tiny, tmp_path):
    text, weights = _unpack(tiny[0].read_bytes())
    right = [(MODEL, text), (WEIGHTS, weights)]
    wrong = {
        "more": lambda tail: zipped([*right, ("code.py", "x")], tail=tail),
        "less": lambda tail: zipped(right[:1], tail=tail),
        "order": lambda tail: zipped(right[::-1], tail=tail),
        "bomb": lambda tail: zipped(
            [(MODEL, b" " * 10**6), right[1]], zipfile.ZIP_DEFLATED, tail
        ),
    }
    for name, build in wrong.items():
        (tmp_path / name).write_bytes(with_digest(build))
        with pytest.raises(ValueError, match="nothing else"):
            load(tmp_path / name)
    (tmp_path / "right").write_bytes(with_digest(lambda tail: zipped(right, tail=tail)))
    load(tmp_path / "right")


def test_newer_format_asks_for_an_upgrade(tiny, tmp_path, monkeypatch):
    text, weights = _unpack(tiny[0].read_bytes())
    monkeypatch.setattr("skjointprune._files.save_load.FORMAT", 3)
    (tmp_path / "new").write_bytes(_pack(text, weights))
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"format 3.*Upgrade"):
        load(tmp_path / "new")


def test_networks_of_a_size_that_a_file_only_claims_take_no_memory(tiny, tmp_path):
    text, weights = _unpack(tiny[0].read_bytes())
    model = json.loads(text)
    model["params"]["hidden_layer_sizes"]["value"] = [10**7]  # dense: 480 MB
    (tmp_path / "large").write_bytes(_pack(json.dumps(model).encode(), weights))
    load(tmp_path / "large")


def test_no_safetensors_is_said(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    for call in (lambda: save(fitted, tmp_path / "a"), lambda: load(tmp_path / "a")):
        with pytest.raises(ImportError, match=r"skjointprune\[save\]"):
            call()


def test_file_of_a_later_minor_version_loads(tiny, tmp_path):
    path, X, expected = tiny
    text, weights = _unpack(path.read_bytes())
    model = json.loads(text)
    model["versions"]["skjointprune"] = "0.9.0"
    del model["params"]["unit_cost"]  # a parameter that one side does not know
    (tmp_path / "later").write_bytes(_pack(json.dumps(model).encode(), weights))
    loaded = load(tmp_path / "later")
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert loaded.unit_cost == "constant"
