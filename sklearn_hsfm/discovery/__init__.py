"""Who is helped by a shortcut and who is hurt, from class labels alone."""

from sklearn_hsfm.discovery._finder import ShortcutFinder

__all__ = ["ShortcutFinder"]
