"""Digit dominoes as image files, in the layouts that people keep images in."""

import numpy as np
from PIL import Image

from sklearn_hsfm.datasets import load_digit_dominoes

SPLITS = ("train", "val", "test")


def dominoes(n=None):
    """Yield split, class, lower digit and image of real digits, ``n`` of each split."""
    data = load_digit_dominoes(random_state=0)
    for split in SPLITS:
        rows = zip(data[f"X_{split}"], data[f"y_{split}"], data[f"groups_{split}"], strict=True)
        for row, y, group in list(rows)[:n]:
            pixels = np.round(row.reshape(16, 8) * (255 / 16)).astype(np.uint8)
            yield split, int(y), int(group[-1]), Image.fromarray(pixels).resize((32, 64), 0)


def write_waterbirds(folder, n=None):
    """Write images and the ``metadata.csv`` of group_DRO and WILDS."""
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for k, (split, y, lower, image) in enumerate(dominoes(n), 1):
        name = f"{y + 1:03d}.Digit/{k}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
        lines.append(f"{k},{name},{y},{SPLITS.index(split)},{lower},/p/{lower}.jpg")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def write_class_folders(folder, n=None):
    """Write ``SPLIT/CLASS/LOWER/*.png``."""
    for k, (split, y, lower, image) in enumerate(dominoes(n)):
        at = folder / split / ("even", "odd")[y] / ("even", "odd")[lower]
        at.mkdir(parents=True, exist_ok=True)
        image.save(at / f"{k}.png")
