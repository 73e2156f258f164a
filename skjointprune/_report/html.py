"""HTML of reports and paths, for notebooks.

Text takes the colour of the page; lines and bars are a grey that shows on light and on
dark pages.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from .._utils.unwrap import find_inner_estimator

STYLE = """<style>
.skjointprune { color: inherit; font-size: 0.9em; margin: 0.7em 0; max-width: 44em; }
.skjointprune table {
  border-collapse: collapse; border: 0; background: none; color: inherit;
  margin: 0.2em 0 0.4em; width: auto; font-size: inherit;
  display: table; table-layout: auto;
}
.skjointprune caption {
  caption-side: top; text-align: left; font-weight: bold; color: inherit;
  padding: 0.2em 0;
}
.skjointprune tr, .skjointprune tbody tr:nth-child(odd),
.skjointprune tbody tr:nth-child(even) { background: none; color: inherit; }
.skjointprune tbody tr:hover { background: rgba(128, 128, 128, 0.15); }
.skjointprune th, .skjointprune td {
  border: 0; padding: 0.2em 0 0.2em 1.6em; text-align: right; vertical-align: top;
  background: none; color: inherit; font-variant-numeric: tabular-nums;
  white-space: nowrap; max-width: none; line-height: 1.4;
}
.skjointprune thead { border: 0; }
.skjointprune thead th { border-bottom: 1px solid rgba(128, 128, 128, 0.6); }
.skjointprune th:first-child {
  text-align: left; white-space: normal; overflow-wrap: anywhere;
  padding-left: 0; max-width: 22em;
}
.skjointprune tbody th { font-weight: normal; }
.skjointprune .bar {
  display: inline-block; width: 4.5em; height: 0.6em; margin-left: -0.9em;
  background: rgba(128, 128, 128, 0.22);
}
.skjointprune .bar span { display: block; height: 100%; background: #3b8fc7; }
.skjointprune summary { cursor: pointer; }
.skjointprune ul { margin: 0.2em 0; padding-left: 1.4em; overflow-wrap: anywhere; }
.skjointprune p { margin: 0.2em 0; }
</style>"""
MOST_LAYERS_SHOWN = 4  # more are folded away


def report_html(report: Any, sizes: list[tuple[str, int, int]]) -> str:
    """Return a `PruningReport` as HTML: sizes and scores before and after.

    `sizes` are the name of each size, and its values before and after pruning.
    """
    layers = [size for size in sizes if size[0].startswith("units of ")]
    folded = len(layers) > MOST_LAYERS_SHOWN
    if folded:
        n_before = sum(k for _, k, _ in layers)
        n_after = sum(k for _, _, k in layers)
        total = (f"units of {len(layers)} layers", n_before, n_after)
        sizes = [sizes[0], total, *(size for size in sizes[1:] if size not in layers)]
    body = [_size_cells(*size) for size in sizes]
    scores = {when: s for when, s in report.scores.items() if s is not None}
    if scores:
        before, after = (
            f"{scores[when]:.4f}" if when in scores else ""
            for when in ("before pruning", "after retraining")
        )
        body.append([f"held-out {report.score_name}", before, after, "", ""])
    header = ["", "dense", "pruned", "kept", ""]
    parts = [_table(header, body, caption="Pruning report")]
    if "after pruning" in scores:
        parts.append(
            f"<p>{scores['after pruning']:.4f} after pruning, before retraining.</p>"
        )
    if report.jaccard is not None:
        parts.append(
            f"<p>inputs of two folds: Jaccard overlap {report.jaccard:.2f}</p>"
        )
    if folded:
        table = _table(header, [_size_cells(*size) for size in layers])
        parts.append(_details("layer by layer", table))
    if report.kept_whole:
        items = "".join(
            f"<li>{escape(name)}: {escape(reason)}</li>"
            for name, reason in report.kept_whole.items()
        )
        parts.append(_details("kept whole", f"<ul>{items}</ul>"))
    return _page(parts)


def path_html(path: Any) -> str:
    """Return a `PruningPath` as HTML: a table with a line for each point."""
    header = ["alpha", "inputs", "units", "parameters", "MACs", path.score_name]
    body = [
        [
            f"{alpha:.3g}",
            f"{size.inputs:,}",
            "-".join(map(str, size.units.values())),
            f"{size.parameters:,}",
            f"{size.macs:,}",
            f"{score:.4f}",
        ]
        for alpha, size, score in zip(path.alphas, path.sizes, path.scores, strict=True)
    ]
    return _page([_table(header, body)])


def inputs_html(
    headline: str,
    header: Sequence[str],
    body: Sequence[Sequence[str]],
    most_shown: int,
    notes: str = "",
) -> str:
    """Return a table of inputs: the first ones, and the others folded away."""
    shown, more = body[:most_shown], body[most_shown:]
    parts = [_table(header, shown, caption=headline)]
    if not body:
        parts = [f"<p><b>{escape(headline)}</b></p>"]
    if more:
        parts.append(_details(f"{len(more):,} more", _table(header, more)))
    if notes:
        parts.append(f"<p>{escape(notes)}</p>")
    return _page(parts)


def _size_cells(name: str, before: int, after: int) -> list[str]:
    """Return the cells of one size: before, after, the share kept, and its bar."""
    share = after / before
    width = min(share, 1)
    bar = f'<span class="bar"><span style="width:{width:.1%}"></span></span>'
    return [name, f"{before:,}", f"{after:,}", f"{share:.1%}", bar]


def _table(header: Sequence[str], body: Iterable[Sequence[str]], caption="") -> str:
    """Return a table. The first cell of a line is text, the others are HTML.

    So a user's text may stand in the first cell alone.
    """
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in body
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _page(parts: Iterable[str]) -> str:
    return f'<div class="skjointprune">{STYLE}{"".join(parts)}</div>'


class ReportBelowDiagram:
    """Show the report of a fitted estimator below scikit-learn's diagram of it."""

    @property
    def _repr_html_(self):
        diagram = super()._repr_html_  # type: ignore[misc]  # absent without diagrams
        return lambda: diagram() + self._report_html()

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += self._report_html()
        return bundle

    def _report_html(self) -> str:
        """Return the report of this estimator, or of the one within a selector."""
        estimator: Any
        for estimator in (self, find_inner_estimator(self)):
            if hasattr(estimator, "report_"):
                return estimator.report_._repr_html_()
        return ""
