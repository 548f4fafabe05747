"""How Sphinx builds the site; the command is in the README."""

import tomllib
from pathlib import Path

import matplotlib
from docutils import nodes

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


def setup(app):
    """Connect what is done to the pages."""
    app.connect("doctree-read", keep_numbers_whole)
