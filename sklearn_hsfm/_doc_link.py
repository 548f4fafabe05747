"""Where the drawing of an estimator in a notebook points: its page of the reference."""

from sklearn_hsfm import __about__


class DocLinkMixin:
    """Point at the reference on the site that `__about__` names; nowhere where it names none."""

    _doc_link_module = "sklearn_hsfm"

    @property
    def _doc_link_template(self):
        return f"{__about__.__site__}generated/{{estimator_module}}.{{estimator_name}}.html"

    def _get_doc_link(self):
        return super()._get_doc_link() if __about__.__site__ else ""
