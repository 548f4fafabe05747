"""Which files are images."""

from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def image_files(folder):
    """Return the image files in a folder and in folders in it, in the order of their paths."""
    return sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
