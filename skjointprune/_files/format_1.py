"""Upgrade of files of format 1, which the first development versions wrote.

In format 1 an estimator's attributes were listed one by one, parameters of images stood
among the others, and what cross-validates was fitted itself and held no estimator.
"""

from typing import Any

from torch import Tensor

OF_IMAGES = {
    "input_groups": "groups",
    "patch_size": "patch_size",
    "train_transform": "transform",
    "transform_batches": "transform_batches",
    "num_workers": "num_workers",
}
DEFAULTS = {
    "groups": None,
    "patch_size": 4,
    "transform": None,
    "transform_batches": False,
    "num_workers": 0,
}
CV_PARAMS = ("alphas", "n_alphas", "rule", "cv", "scoring", "n_jobs")
CV_ATTRIBUTES = (
    "alpha_",
    "alphas_",
    "cv_results_",
    "best_index_",
    "n_splits_",
    "jaccard_",
)


def upgrade(
    model: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the model and the tensors of a file as format 2 has them."""
    renamed = dict(tensors)
    return _upgraded(model, renamed, prefix=""), renamed


def _upgraded(
    model: dict[str, Any], tensors: dict[str, Tensor], prefix: str
) -> dict[str, Any]:
    """Return the model of an estimator; tensors with its prefix are renamed."""
    if model["class"] == "InputFeatureSelector":
        inner = {
            name: _upgraded(model[name], tensors, f"{prefix}{name}.")
            for name in ("estimator", "estimator_")
            if name in model
        }
        return model | inner
    if model["class"].endswith("CV"):
        for name in [name for name in tensors if name.startswith(prefix)]:
            short = name.removeprefix(prefix)
            tensors[f"{prefix}estimator_.{short}"] = tensors.pop(name)
        return _around(model)
    return _of_single(model)


def _of_single(model: dict[str, Any]) -> dict[str, Any]:
    params = dict(model["params"])
    of_images = {OF_IMAGES[n]: params.pop(n) for n in OF_IMAGES if n in params}
    upgraded: dict[str, Any] = {"class": model["class"], "params": params}
    if of_images and DEFAULTS | of_images != DEFAULTS:
        upgraded["images"] = of_images
    if "module" in model:
        upgraded["module"] = model["module"]
    if "attributes" in model:
        upgraded["fit"] = _fit(model)
    return upgraded


def _fit(model: dict[str, Any]) -> dict[str, Any]:
    had = model["attributes"]
    return {
        "inputs": _inputs(had),
        "targets": _targets(had),
        "support": had["support_"],
        "importances": had["feature_importances_"],
        "history": model["history"],
        "report": model["report"],
        "network": model["network"],
    }


def _inputs(had: dict[str, Any]) -> dict[str, Any]:
    shape = had["input_shape_"]["value"]
    if len(shape) > 1:
        kinds = ["channel", "row", "column"]
        return {"kind": "ImageInputs", "shape": shape, "kinds": kinds}
    return {
        "kind": "TableInputs",
        "shape": shape,
        "names": had.get("feature_names_in_"),
        "groups": had["feature_groups_"],
        "costs": None,
    }


def _targets(had: dict[str, Any]) -> dict[str, Any]:
    if "classes_" not in had:
        return {"kind": "Numbers", "n_outputs": had["_n_outputs"], "flat": had["_flat"]}
    if had["_indicator"]:
        return {"kind": "LabelSets", "n_outputs": had["classes_"]["shape"][0]}
    return {"kind": "Classes", "labels": had["classes_"]}


def _around(model: dict[str, Any]) -> dict[str, Any]:
    """Put the estimator that was chosen inside the one that chose it."""
    params = dict(model["params"])
    of_cv = {name: params.pop(name) for name in CV_PARAMS if name in params}
    single = _of_single(
        model | {"class": model["class"].removesuffix("CV"), "params": params}
    )
    unfitted = {name: value for name, value in single.items() if name != "fit"}
    upgraded = {"class": "JointPruneCV", "params": of_cv, "estimator": unfitted}
    if "attributes" in model:
        attributes = {name: model["attributes"][name] for name in CV_ATTRIBUTES}
        chosen = single["params"] | {"alpha": attributes["alpha_"]}
        upgraded["estimator_"] = single | {"params": chosen}
        upgraded["attributes"] = attributes
    return upgraded
