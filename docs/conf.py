"""How the site is built: `sphinx-build -W --keep-going -b html docs docs/_build`."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
# Examples may start processes and threads of their own; a fit is fastest on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import skjointprune

project = "skjointprune"
author = "The skjointprune developers"
copyright = author
version = release = skjointprune.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "_site",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "sg_execution_times.rst"]
default_role = "literal"

# Every reference must lead somewhere. Other projects' sites are not asked: the build
# needs no network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(sklearn|numpy|torch|skorch|matplotlib)\..*")]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

html_math_renderer = "mathml"
toc_object_entries_show_parents = "hide"
html_theme = "pydata_sphinx_theme"
html_title = "skjointprune"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}
without_sidebar = ("start", "benchmarks", "networks", "paper", "tried", "CHANGES")
html_sidebars = {page: [] for page in without_sidebar}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"[\\/]plot_",
    "ignore_pattern": r"^(?!plot_)",
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": "_site.away",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "doc_module": ("skjointprune",),
    "backreferences_dir": None,
    "capture_repr": ("_repr_html_",),
    "reference_url": {"skjointprune": None},
}
