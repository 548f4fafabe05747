"""How Sphinx builds the site; the command is in the README."""

import matplotlib

from sklearn_hsfm import __version__

matplotlib.use("agg")

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

html_title = project
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_sidebars = {"index": [], "api": [], "changelog": [], "contributing": []}
html_show_sourcelink = False
