"""The tables of `networks.py`, in Markdown."""

import re

from _network_checks import SHARES

WAYS = {
    "save_and_load": "save",
    "pickle_and_load": "pickle",
    "to_onnx": "ONNX",
    "to_export": "export",
}
CUTS = [f"cut_{percent}" for percent in SHARES]


def print_report(results):
    """Print totals by family, then each network, then what went wrong."""
    families = dict.fromkeys(result["family"] for result in results)
    by_family = {
        family: [r for r in results if r["family"] == family] for family in families
    }
    if len(by_family) > 1:
        by_family["all"] = results
    print("\n## By family\n")
    print_markdown([share_row(name, rows) for name, rows in by_family.items()])
    print("\n## Cuts and fits\n")
    print_markdown([cut_row(name, rows) for name, rows in by_family.items()])
    print("\n## torch-pruning\n")
    print_markdown([peer_row(name, rows) for name, rows in by_family.items()])
    print("\n## Each network\n")
    print_markdown([network_row(result) for result in results])
    print("\n## What did not work\n")
    alike = {}
    for result in results:
        for what, error in errors_of(result):
            alike.setdefault((what, plain(error)), []).append(result["name"])
    for (what, error), names in alike.items():
        print(f"- {what}: {', '.join(names)}: `{error}`")


def print_markdown(rows):
    """Print dicts that share their keys."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


def plain(text, longest=200):
    """Return the beginning of a text as Markdown leaves it, files without folders."""
    text = re.sub(r"/\S*/(?=[^/\s]+\.py)", "", str(text))
    text = text.replace("`", "'").replace("|", "/")
    return text if len(text) <= longest else f"{text[:longest]}…"


def share_row(name, results):
    """Count how many are traced, and what may go."""
    traced = [r for r in results if r.get("traced") is True]
    seconds = sorted(r["seconds"] for r in traced)
    return {
        "": name,
        "tried": len(results),
        "traced": len(traced),
        "99 % of the units may go": sum(r["may_go"] >= 0.99 for r in traced),
        "90 %": sum(r["may_go"] >= 0.9 for r in traced),
        "half": sum(r["may_go"] >= 0.5 for r in traced),
        "none": sum(r["may_go"] == 0 for r in traced),
        "half of the parameters": sum(
            r.get("parameters_may_go", 0) >= 0.5 for r in traced
        ),
        "median s": f"{seconds[len(seconds) // 2]:.1f}" if seconds else "",
        "longest": f"{seconds[-1]:.1f}" if seconds else "",
    }


def exact_cuts(result):
    """Tell of each cut in which something went whether it was exact."""
    found = [result[cut] for cut in CUTS if cut in result]
    return [
        isinstance(cut, dict) and cut["exact"]
        for cut in found
        if not isinstance(cut, dict) or cut["gone"]
    ]


def cut_row(name, results):
    """Count exact cuts, and the ways out of a fit."""
    cuts = [exact for result in results for exact in exact_cuts(result)]
    fits = [r for r in results if r.get("fit") is True]
    row = {
        "": name,
        "cuts": len(cuts),
        "exact": sum(cuts),
        "inexact": len(cuts) - sum(cuts),
        "fits": f"{len(fits)} of {sum('fit' in r for r in results)}",
    }
    for way, short in WAYS.items():
        row[short] = sum(r.get(way) is True for r in fits)
    return row


def peer_row(name, results):
    """Count the cuts of torch-pruning."""
    found = [r["torch_pruning"] for r in results if r.get("torch_pruning")]
    ran = [f for f in found if isinstance(f, dict)]
    return {
        "": name,
        "tried": len(found),
        "exact": sum(f["exact"] and f["gone"] > 0 for f in ran),
        "inexact": sum(not f["exact"] for f in ran),
        "nothing went": sum(f["exact"] and f["gone"] == 0 for f in ran),
        "raises": len(found) - len(ran),
    }


def percent(share):
    """Write a share."""
    return "" if share is None else f"{100 * share:.0f} %"


def network_row(result):
    """Write one network in short."""
    cuts = exact_cuts(result)
    peer = result.get("torch_pruning")
    ways = [short for way, short in WAYS.items() if result.get(way) is True]
    told = "raises" if peer else ""
    if isinstance(peer, dict):
        told = "exact" if peer["exact"] else "inexact"
        told = f"{told}, {percent(peer['gone'])} gone" if peer["gone"] else "nothing"
    return {
        "network": result["name"],
        "family": result["family"],
        "parameters": f"{result.get('parameters', 0):,}",
        "units may go": percent(result.get("may_go"))
        if result.get("traced") is True
        else "refused",
        "parameters may go": percent(result.get("parameters_may_go")),
        "cuts": "exact" if cuts and all(cuts) else "inexact" if cuts else "",
        "fit": "yes" if result.get("fit") is True else "no" if "fit" in result else "",
        "then": ", ".join(ways),
        "s": result.get("seconds", ""),
        "torch-pruning": told,
    }


def errors_of(result):
    """Yield what did not work, and why."""
    if result.get("traced") is not True:
        yield "traced", result.get("traced", result["ended"])
        return
    for name in (*CUTS, "fit", *WAYS):
        found = result.get(name, True)
        if isinstance(found, str) or (found is not True and not found["exact"]):
            yield name, found
    if result["ended"] is not True:
        yield "ended", result["ended"]
