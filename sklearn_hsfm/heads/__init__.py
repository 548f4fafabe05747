"""The last-layer methods that HSFM is compared with, behind one ``fit``."""

from sklearn_hsfm._label_use import LabelUse
from sklearn_hsfm.heads._afr import AFRClassifier
from sklearn_hsfm.heads._averaging import HeadAverager
from sklearn_hsfm.heads._bam import BAMClassifier
from sklearn_hsfm.heads._clp import CLPClassifier
from sklearn_hsfm.heads._dfr import ClassBalancedClassifier, DFRClassifier
from sklearn_hsfm.heads._dpe import DPEClassifier
from sklearn_hsfm.heads._evals import EVaLSClassifier
from sklearn_hsfm.heads._extra_rows import ExtraRowsClassifier
from sklearn_hsfm.heads._fg_ccdb import FGCCDBClassifier
from sklearn_hsfm.heads._group_dro import CVaRDROClassifier, GroupDROClassifier
from sklearn_hsfm.heads._jtt import JTTClassifier
from sklearn_hsfm.heads._lff import LfFClassifier
from sklearn_hsfm.heads._lisa import LISAClassifier
from sklearn_hsfm.heads._self import SELFClassifier
from sklearn_hsfm.heads._spare import SPAREClassifier
from sklearn_hsfm.heads._ula import ULAClassifier
from sklearn_hsfm.heads._xrm import XRMClassifier

__all__ = [
    "AFRClassifier",
    "BAMClassifier",
    "CLPClassifier",
    "CVaRDROClassifier",
    "ClassBalancedClassifier",
    "DFRClassifier",
    "DPEClassifier",
    "EVaLSClassifier",
    "ExtraRowsClassifier",
    "FGCCDBClassifier",
    "GroupDROClassifier",
    "HeadAverager",
    "JTTClassifier",
    "LISAClassifier",
    "LabelUse",
    "LfFClassifier",
    "SELFClassifier",
    "SPAREClassifier",
    "ULAClassifier",
    "XRMClassifier",
]
