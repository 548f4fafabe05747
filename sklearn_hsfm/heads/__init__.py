"""The last-layer methods that HSFM is compared with, behind one ``fit``."""

from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm.heads._afr import AFRClassifier
from sklearn_hsfm.heads._averaging import HeadAverager
from sklearn_hsfm.heads._clp import CLPClassifier
from sklearn_hsfm.heads._dfr import ClassBalancedClassifier, DFRClassifier
from sklearn_hsfm.heads._extra_rows import ExtraRowsClassifier
from sklearn_hsfm.heads._group_dro import CVaRDROClassifier, GroupDROClassifier
from sklearn_hsfm.heads._jtt import JTTClassifier
from sklearn_hsfm.heads._lff import LfFClassifier
from sklearn_hsfm.heads._lisa import LISAClassifier
from sklearn_hsfm.heads._self import SELFClassifier

__all__ = [
    "AFRClassifier",
    "CLPClassifier",
    "CVaRDROClassifier",
    "ClassBalancedClassifier",
    "DFRClassifier",
    "ExtraRowsClassifier",
    "GroupDROClassifier",
    "HeadAverager",
    "JTTClassifier",
    "LISAClassifier",
    "LabelUse",
    "LfFClassifier",
    "SELFClassifier",
]
