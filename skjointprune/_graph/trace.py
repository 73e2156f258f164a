"""Graph of a module, with the shape of every tensor, and errors that explain."""

import inspect
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from .._utils.torch import kind_of_rows
from .caches import without_caches
from .refusals import at_line, explain, first_line, line_of, line_of_class
from .remembered import ABSENT, find_tensors_kept, take_snapshot
from .rules.registry import layer_rule
from .tracer import ROWS, Tracer, decides_by_rows


class Traced(NamedTuple):
    """The graph of a module.

    `remembered` are the attributes in which layers keep what they have computed, with
    what these held before. `one_row_apart` tells whether the code treats one row by
    itself in a way of its own: its outputs are those of the row among others.
    """

    graph: fx.Graph
    remembered: dict[str, Any]
    one_row_apart: bool


def trace(module: nn.Module, shape: tuple[int, ...]) -> Traced:
    """Trace a module for rows of a shape.

    torch.fx adds tensors that the code makes to the module, and they are left there.
    """
    tracer = _tracer_of(module, shape)
    try:
        traced = _trace(tracer, module, shape)
    except ValueError:
        if not tracer.hashed:
            raise
    else:
        if not tracer.hashed:
            return traced
    with without_caches(module):  # which hold results for sizes of other runs
        return _trace(_tracer_of(module, shape), module, shape)


def _tracer_of(module: nn.Module, shape: tuple[int, ...]) -> Tracer:
    return Tracer(module, shape, lambda layer: layer_rule(layer) is not None)


def _trace(tracer: Tracer, module: nn.Module, shape: tuple[int, ...]) -> Traced:
    name = type(module).__name__
    try:
        _, *more = inspect.signature(module.forward).parameters.values()
        more = [p for p in more if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        plain = (bool, int, float, str, type(None))
        defaults = {p.name: p.default for p in more if isinstance(p.default, plain)}
        graph = tracer.trace(module, concrete_args=defaults)
        if tracer.alone is not None and not _treats_one_row_alike(module, shape):
            raise decides_by_rows(tracer.alone)
    except Exception as error:
        _refuse_what_does_not_run(module, shape)
        where = f" in its layer {tracer.failed_in}" if tracer.failed_in else ""
        fact, remedy = explain(error)
        raise ValueError(
            f"`module` {name} could not be traced{where} "
            f"({fact}){at_line(line_of(error))}. {remedy}"
        ) from error
    _, *others = (n for n in graph.nodes if n.op == "placeholder")
    for node, parameter in zip(others, more, strict=True):
        if parameter.name in defaults:
            node.args = (defaults[parameter.name],)
        elif not node.args:
            raise ValueError(
                f"`module` {name} takes a second input, {parameter.name}. Give it a "
                "default, or let `forward` take the rows alone."
            )
    return Traced(graph, tracer.remembered, tracer.alone is not None)


def _treats_one_row_alike(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Tell whether the outputs of a row by itself are those of it among others."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(ROWS, *shape, generator=generator).to(**kind_of_rows(module))
    try:
        expected, got = _run(module, rows.clone()), _run(module, rows[:1].clone())
    except Exception:  # whatever the module raises
        return False
    return got.shape == (1, *expected.shape[1:]) and torch.allclose(
        got, expected[:1], rtol=1e-4, atol=1e-5
    )


def refuse_hooks_of_old(module: nn.Module) -> None:
    """Refuse norms of weights that keep a tensor of theirs: no copy can be made."""
    for name, layer in module.named_modules():
        for hook in layer._forward_pre_hooks.values():
            kind = type(hook)
            if kind.__module__ in (
                "torch.nn.utils.weight_norm",
                "torch.nn.utils.spectral_norm",
            ):
                norm = kind.__module__.rpartition(".")[2]
                raise ValueError(
                    f"{type(layer).__name__} {name!r} of `module` has the {norm} of "
                    "torch.nn.utils, with which it cannot be copied"
                    f"{at_line(line_of_class(module, name))}. Use "
                    f"torch.nn.utils.parametrizations.{norm}."
                )


def what_is_remembered(module: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the attributes in which layers keep tensors outside training.

    With each, what it holds as long as nothing is kept.

    Raises
    ------
    ValueError
        If the module runs on as many rows as it was traced with alone.
    """
    rows = torch.zeros(ROWS + 1, *shape, **kind_of_rows(module))
    before = take_snapshot(module)
    try:
        kept = sorted(find_tensors_kept(module, rows))
    except Exception as error:
        raise ValueError(
            f"`module` {type(module).__name__} runs on {ROWS} rows, and not on "
            f"{len(rows)} ({first_line(error)}). Let it take any number of rows."
        ) from error
    return {name: before.get(name, ABSENT) for name in kept}


def _refuse_what_does_not_run(module: nn.Module, shape: tuple[int, ...]) -> None:
    try:
        _run(module, torch.zeros(ROWS, *shape, **kind_of_rows(module)))
    except Exception as error:
        raise _does_not_run(module, shape, error) from error


def _run(module: nn.Module, rows: Tensor) -> Any:
    """Return the outputs of a copy of a module for rows."""
    with torch.no_grad():
        return deepcopy(module).eval()(rows)


def _does_not_run(
    module: nn.Module,
    shape: tuple[int, ...],
    error: Exception,
    at: fx.Node | None = None,
) -> ValueError:
    """Return an error that tells what a module raises, and at which node if known."""
    size = " x ".join(map(str, shape))
    message = first_line(error)
    line = line_of(error) if at is None else at.meta.get("line")
    if "argument #1 'indices'" in message:
        remedy = (
            "Let it look up whole numbers, as `x.long()` are, and leave X as it is by "
            "`standardize=False`."
        )
    elif isinstance(error, KeyError | AttributeError):
        message = f"{type(error).__name__}: {message}"
        remedy = (
            "Correct this. What is run is a copy: a hook or function in it must use "
            "the layer that it is given, not the one that it was made for."
        )
    elif "does not require grad" in message:
        remedy = (
            "There are no gradients while it is traced: register a rule for the layer "
            "that takes one in `forward` (skjointprune.register_rule)."
        )
    elif "type" in message or "Double" in message:
        remedy = "Let it compute in float32, which it is made to have here."
    elif at is not None and _is_behind_a_layer(module, at):
        remedy = "Let its layers fit each other"
        remedy += "." if len(shape) == 1 else " and images of the `input_shape`."
    elif len(shape) == 1:
        remedy = (
            "Make its first layer accept as many inputs as X has columns, of which a "
            "category is a number for each level; or take them as a parameter "
            "`n_features_in`."
        )
    else:
        remedy = "Let it take the shape of a row as a parameter `input_shape`."
    where = "" if at is None else f", at {_describe(module, at)}"
    return ValueError(
        f"`module` {type(module).__name__} does not run on {size} inputs{where} "
        f"({message}){at_line(line)}. {remedy}"
    )


def _is_behind_a_layer(module: nn.Module, node: fx.Node) -> bool:
    """Tell whether the inputs of a node are computed by a layer with weights."""
    todo = list(node.all_input_nodes)
    for before in todo:
        if before.op == "call_module":
            layer = module.get_submodule(str(before.target))
            if any(p.ndim > 1 for p in layer.parameters()):
                return True
        todo += [n for n in before.all_input_nodes if n not in todo]
    return False


def _describe(module: nn.Module, node: fx.Node) -> str:
    if node.op != "call_module":
        return repr(node.name)
    name = str(node.target)
    return f"{type(module.get_submodule(name)).__name__} {name!r}"


class _Shapes(fx.Interpreter):
    """Notes the shape of each tensor in the graph, and the value of all else."""

    last: fx.Node | None = None

    def run_node(self, n: fx.Node) -> Any:
        self.last = n
        out = super().run_node(n)
        if isinstance(out, Tensor):
            n.meta["shape"] = tuple(out.shape)
        else:
            n.meta["value"] = out
        return out


def note_shapes_(module: nn.Module, graph: fx.Graph, shape: tuple[int, ...]) -> int:
    """Note shapes in the graph by running two rows; return the number of outputs.

    A copy of the module runs, so that layers that do not fit show before training.
    """
    rows = torch.zeros(ROWS, *shape, **kind_of_rows(module))
    copied = deepcopy(module).eval()
    for name, made in vars(module).items():  # copies of a GraphModule lack new tensors
        vars(copied).setdefault(name, made)
    run = _Shapes(copied, graph=graph)
    try:
        with torch.no_grad():
            out = run.run(rows)
    except Exception as error:
        raise _does_not_run(module, shape, error, run.last) from error
    if not isinstance(out, Tensor) or out.ndim != 2:
        raise _not_logits(out, f"{ROWS} rows")
    if len(out) != ROWS:
        raise _not_one_each(module, graph, out)
    _refuse_what_drops_one_row(copied, rows[:1], out.shape[1])
    return out.shape[1]


def _not_one_each(module: nn.Module, graph: fx.Graph, out: Tensor) -> ValueError:
    """Return an error that names the node from which outputs are not one a row."""
    (node,) = next(n for n in graph.nodes if n.op == "output").all_input_nodes
    while others := [n for n in node.all_input_nodes if _has_other_rows(n)]:
        node = others[0]
    where = f" at {_describe(module, node)}" if node.op.startswith("call") else ""
    return ValueError(
        "`module` must map rows to a tensor of shape (rows, outputs). Got "
        f"{tuple(out.shape)} from {ROWS} rows, which change{where}; keep their "
        "dimension, as `x.flatten(1)` does."
    )


def _has_other_rows(node: fx.Node) -> bool:
    shape = node.meta.get("shape", ())
    return node.op.startswith("call") and shape[:1] not in ((), (ROWS,))


def _refuse_what_drops_one_row(module: nn.Module, row: Tensor, n: int) -> None:
    """Refuse a module that drops the dimension of rows where there is one row."""
    try:
        with torch.no_grad():
            out = module(row)
    except Exception:  # normalisation may need more rows, and says so in predictions
        return
    if not isinstance(out, Tensor) or out.shape != (1, n):
        raise _not_logits(out, "1 row")


def _not_logits(out: Any, rows: str) -> ValueError:
    kind = type(out).__name__.removeprefix("immutable_")
    got = tuple(out.shape) if isinstance(out, Tensor) else kind
    return ValueError(
        "`module` must map rows to a tensor of shape (rows, outputs). Got "
        f"{got} from {rows}; return the logits alone."
    )
