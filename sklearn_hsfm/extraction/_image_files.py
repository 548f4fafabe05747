"""Which files are images, and what is in them as eight bits of red, green and blue."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_LONGEST = 1000  # times as long as wide: the shorter side is what preprocessing scales up
_BITS_PER_SAMPLE = 258  # tag of TIFF
_ORIENTATION = 0x0112  # tag of EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # modes of more than eight bits


def image_files(folder):
    """Return the image files in a folder and in folders in it, in the order of their paths.

    Links to folders are followed. Hidden files and folders are not looked at, nor the copies
    (``__MACOSX``) that archives of other systems bring.
    """
    return sorted(Path(path) for path in _walk(os.fspath(folder), ()))


def _walk(folder, above):
    stat = os.stat(folder)
    here = stat.st_dev, stat.st_ino
    if here in above:  # a link to a folder that it lies in
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_dir():
                yield from _walk(entry.path, (*above, here))
            elif entry.name.lower().endswith(SUFFIXES):
                yield entry.path


def shown(path):
    """Return a path as text that any terminal or file can take."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read_image(path):
    """Return an image file as an RGB PIL image."""
    with Image.open(path) as image:
        return to_rgb(image)


def to_rgb(image):
    """Return a PIL image as one of mode RGB: the first frame, without its transparency.

    One that comes from a file as it stands is turned upright, as its EXIF tag says and as viewers
    show it. Sixteen bits become eight.
    """
    width, height = image.size
    if max(width, height) > _LONGEST * min(width, height):
        raise ValueError(
            f"it is {width} x {height} pixels, and with one side more than {_LONGEST} times the "
            "other it would not fit into memory once the shorter one is scaled up; cut it"
        )
    bits = _bits(image)
    if isinstance(image, ImageFile.ImageFile):
        image = _upright(image)
    return (image if bits == 8 else _eight_bits(image, bits)).convert("RGB")


def _upright(image):
    """Return an image turned as its tag says; one that cannot be read says nothing.

    Pillow's own function writes all tags anew, and fails on any that is odd.
    """
    image.load()  # in which a TIFF file is turned already
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # of the parser of tags, which come from cameras of all kinds
        orientation = None
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _bits(image):
    """Return the bits of a pixel's colour."""
    if image.mode not in _DEEP:
        return 8
    if hasattr(image, "tag_v2"):
        return image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0]
    if image.mode == "I" and image.format not in ("PNG", "PPM"):  # which have 16 at most
        return 32
    return 32 if image.mode == "F" else 16


def _eight_bits(image, bits):
    pixels = np.asarray(image)
    if bits > 16 or not 0 <= pixels.min() <= pixels.max() < 2**bits:
        raise ValueError(
            f"its mode is {image.mode!r}, whose pixels have no known range (here {pixels.min()} to "
            f"{pixels.max()}); save it with 8 or 16 bits, or pass an array of floats in [0, 1]"
        )
    return Image.fromarray((pixels * (255 / (2**bits - 1))).round().astype(np.uint8))
