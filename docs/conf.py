"""How Sphinx builds the site; the command is in the README."""

import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import matplotlib
from docutils import nodes
from sphinx import addnodes

import sklearn_hsfm
from sklearn_hsfm import __version__

matplotlib.use("agg")

with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
    urls = tomllib.load(file)["project"].get("urls", {})

project = "sklearn_hsfm"
copyright = "the sklearn_hsfm developers"
version = release = __version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # docstrings name objects in single backticks

numpydoc_show_class_members = False  # the template lists them, without those of scikit-learn

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_hsfm",),
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "write_computation_times": False,  # its page would load a script from the network
}

myst_heading_anchors = 3  # pages may point at each other's headings

autodoc_typehints = "none"  # the docstrings say what comes in, and in which shape

html_title = f"{project} {__version__}"
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "logo": {"text": html_title},
    "show_prev_next": False,
    "navigation_with_keys": False,
}
if "Repository" in urls:  # of pyproject.toml; until it is there, no link is shown
    html_theme_options["icon_links"] = [
        {"name": "Repository", "url": urls["Repository"], "icon": "fa-solid fa-code-branch"}
    ]
html_static_path = ["_static"]
html_css_files = ["site.css"]
WITHOUT_SIDEBAR = (
    "index install start api command_line faq glossary benchmarks measurements systems changelog "
    "cite contributing design"
)
html_sidebars = {page: [] for page in WITHOUT_SIDEBAR.split()}
html_show_sourcelink = False


def keep_numbers_whole(app, doctree):
    """Let no line of a table break between a mean and its deviation."""
    for entry in doctree.findall(nodes.entry):
        for text in list(entry.findall(nodes.Text)):
            if " ± " in text:
                text.parent.replace(text, nodes.Text(text.replace(" ± ", "\u00a0±\u00a0")))


def pages_of_names():
    """Return public names that are no words, as `HSFMClassifier`, with what they are in full."""
    rooms = [n for _, n, _ in pkgutil.iter_modules(sklearn_hsfm.__path__) if n[0] != "_"]
    return {
        name: f"{room}.{name}"
        for room in (*(f"sklearn_hsfm.{n}" for n in rooms), "sklearn_hsfm")
        for name in importlib.import_module(room).__all__
        if re.search(r"^[A-Z].*[a-z]|[a-z]_[a-z]", name) and not name.startswith("_")
    }


PAGES = pages_of_names()


def link_names(app, doctree):
    """Let names of the package that stand in prose point at their page of the reference."""
    for literal in list(doctree.findall(nodes.literal)):
        full = PAGES.get(literal.astext())
        if full and not isinstance(literal.parent, nodes.reference | addnodes.pending_xref):
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=full, refdoc=app.env.docname
            )
            literal.replace_self(link)
            link += literal


def setup(app):
    """Connect what is done to the pages."""
    app.connect("doctree-read", keep_numbers_whole)
    app.connect("doctree-read", link_names)
