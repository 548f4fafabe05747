"""Templates of pages, in which whatever is filled in is text."""

from importlib import import_module
from pathlib import Path


def template(name, what):
    """Return a template of this folder; ``what`` needs jinja2 and matplotlib."""
    try:
        jinja2, _ = (import_module(name) for name in ("jinja2", "matplotlib"))
    except ImportError as error:
        raise ImportError(
            f"{what} takes jinja2 and matplotlib, and {error.name} is not installed; "
            'pip install "sklearn-hsfm[report]" brings both.'
        ) from error
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = lambda value: f"{value:.1%}"
    return environment.get_template(name)
