"""The readme of the package index, where links into the repository lead nowhere.

All else about the package is in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^]]*)\]\((?!https?://)([^)]*)\)")


def for_the_index(readme, repository=None, tag="HEAD"):
    """Return a readme whose links are absolute, or plain text where no repository is known."""

    def absolute(link):
        picture, text, path = link.groups()
        if repository is None:
            return f"*{text}*" if picture else text
        return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/{tag}/{path})"

    return LINK.sub(absolute, readme)


if __name__ == "__main__":
    from setuptools import setup

    urls = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["urls"]
    version = re.search(r'"(.+)"', (HERE / "sklearn_hsfm" / "__about__.py").read_text())[1]
    readme = (HERE / "README.md").read_text()
    setup(
        long_description=for_the_index(readme, urls.get("Repository"), f"v{version}"),
        long_description_content_type="text/markdown",
    )
