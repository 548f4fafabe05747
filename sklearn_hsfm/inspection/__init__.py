"""See it: an audit, displays of groups, trade-offs, fits, hard sets and edits, and a report."""

from sklearn_hsfm.inspection._audit import audit
from sklearn_hsfm.inspection._audit_result import Audit
from sklearn_hsfm.inspection._decoding import decode_edits
from sklearn_hsfm.inspection._edits import EditDescription, Shift, describe_edits
from sklearn_hsfm.inspection._fit_history import FitHistoryDisplay
from sklearn_hsfm.inspection._group_accuracy import GroupAccuracyDisplay
from sklearn_hsfm.inspection._hard_set import HardSetDisplay
from sklearn_hsfm.inspection._masked import MaskedSensitivity, masked_sensitivity
from sklearn_hsfm.inspection._masked_display import MaskedSensitivityDisplay
from sklearn_hsfm.inspection._patch_display import PatchDisplay
from sklearn_hsfm.inspection._patch_guard import PatchGuard, PatchRemover
from sklearn_hsfm.inspection._patches import PatchProbe, probe_patches
from sklearn_hsfm.inspection._region_clusters import RegionClusters
from sklearn_hsfm.inspection._region_display import RegionDisplay
from sklearn_hsfm.inspection._regions import find_regions
from sklearn_hsfm.inspection._report import Report, report
from sklearn_hsfm.inspection._support_edits import SupportEditDisplay
from sklearn_hsfm.inspection._trade_off import TradeOffDisplay

__all__ = [
    "Audit",
    "EditDescription",
    "FitHistoryDisplay",
    "GroupAccuracyDisplay",
    "HardSetDisplay",
    "MaskedSensitivity",
    "MaskedSensitivityDisplay",
    "PatchDisplay",
    "PatchGuard",
    "PatchProbe",
    "PatchRemover",
    "RegionClusters",
    "RegionDisplay",
    "Report",
    "Shift",
    "SupportEditDisplay",
    "TradeOffDisplay",
    "audit",
    "decode_edits",
    "describe_edits",
    "find_regions",
    "masked_sensitivity",
    "probe_patches",
    "report",
]
