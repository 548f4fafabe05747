"""The drawing of an estimator points at its page of the reference, if the site is known."""

import importlib
import inspect
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

from sklearn_hsfm import HSFMClassifier, __about__
from tests.test_docstrings import public_modules

PAGES = (Path(__file__).parents[1] / "docs" / "api.rst").read_text().split()
SITE = "https://site.example/"
ESTIMATORS = {
    thing
    for module in public_modules()
    for name in importlib.import_module(module).__all__
    if inspect.isclass(thing := getattr(importlib.import_module(module), name))
    and issubclass(thing, BaseEstimator)
}


@pytest.mark.parametrize("cls", sorted(ESTIMATORS, key=lambda c: c.__name__))
def test_the_link_is_to_a_page_that_is_built(cls, monkeypatch):
    estimator = cls.__new__(cls)
    assert estimator._get_doc_link() == "" or __about__.__site__
    monkeypatch.setattr(__about__, "__site__", SITE)
    page = estimator._get_doc_link().removeprefix(f"{SITE}generated/sklearn_hsfm.")
    assert page.removesuffix(".html") in PAGES


def test_the_drawing_has_it(monkeypatch):
    assert "site.example" not in HSFMClassifier()._repr_html_()
    monkeypatch.setattr(__about__, "__site__", SITE)
    assert f'href="{SITE}generated/sklearn_hsfm.HSFMClassifier.html"' in (
        HSFMClassifier()._repr_html_()
    )


def test_estimators_of_users_have_none(monkeypatch):
    monkeypatch.setattr(__about__, "__site__", SITE)
    assert type("Mine", (HSFMClassifier,), {"__module__": "mine"})()._get_doc_link() == ""
