"""What the build needs beside its extensions: formulas as MathML, and a tidy tree."""

import inspect
import os
import re
import tempfile

from docutils import nodes
from docutils.utils.math import latex2mathml


def away(gallery_conf, script_vars) -> list[str]:
    """Tell an example that saves its picture to do so away from the sources."""
    return ["--out", os.path.join(tempfile.gettempdir(), "example.png")]


def inline(translator, node) -> None:
    """Write a formula within a line; browsers show MathML, and need no network."""
    translator.body.append(latex2mathml.tex2mathml(node.astext()))
    raise nodes.SkipNode


def display(translator, node) -> None:
    """Write a formula that stands alone."""
    formula = latex2mathml.tex2mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="math">{formula}</div>')
    raise nodes.SkipNode


def is_inherited(app, what, name, member, skip, options) -> bool | None:
    """Skip what a class has from scikit-learn or torch, which document it."""
    if callable(member) and what == "class":
        home = getattr(inspect.unwrap(member), "__module__", None) or ""
        return None if home.startswith("skjointprune") else True
    return None


def quote_attributes(app, what, name, obj, options, lines) -> None:
    """Keep `(n_features_in_,)` in a docstring from being read as a link."""
    lines[:] = [re.sub(r"\((n_\w+_),", r"(``\1``,", line) for line in lines]


def setup(app):
    """Register the renderer, and what is done to docstrings."""
    app.connect("autodoc-process-docstring", quote_attributes, priority=1)
    app.connect("autodoc-skip-member", is_inherited)
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
