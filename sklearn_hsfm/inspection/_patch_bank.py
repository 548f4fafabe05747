"""Patches: marks that are drawn, and pasting one into an image."""

import numpy as np
from PIL import Image, ImageDraw

_SIDE = 32  # of a mark as it is drawn
_COLOURS = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "red": (220, 30, 30),
    "green": (30, 160, 60),
    "blue": (40, 70, 220),
    "yellow": (250, 220, 40),
}
POSITIONS = {  # of the patch in what is left of height and width
    "top left": (0.0, 0.0),
    "top right": (0.0, 1.0),
    "bottom left": (1.0, 0.0),
    "bottom right": (1.0, 1.0),
    "centre": (0.5, 0.5),
}


def make_marks(rng):
    """Return marks by name, each (height, width, 4) uint8: squares, a chequer, stamps, a strip."""
    marks = {f"{name} square": _square(colour) for name, colour in _COLOURS.items()}
    marks["chequers"] = _drawn(_chequers)
    marks["ring stamp"] = _drawn(_ring)
    marks["cross stamp"] = _drawn(_cross)
    marks["strip of text"] = _drawn(lambda pen: _text(pen, rng), width=3 * _SIDE)
    return marks


def _square(colour):
    return np.broadcast_to(np.uint8([*colour, 255]), (_SIDE, _SIDE, 4)).copy()


def _drawn(draw, width=_SIDE):
    image = Image.new("RGBA", (width, _SIDE))
    draw(ImageDraw.Draw(image))
    return np.array(image)


def _chequers(pen):
    pen.rectangle((0, 0, _SIDE, _SIDE), fill="white")
    step = _SIDE // 4
    for r in range(4):
        for c in range(r % 2, 4, 2):
            pen.rectangle(
                (c * step, r * step, (c + 1) * step - 1, (r + 1) * step - 1), fill="black"
            )


def _ring(pen):
    pen.ellipse((1, 1, _SIDE - 2, _SIDE - 2), outline=_COLOURS["red"], width=5)
    pen.rectangle((8, 13, _SIDE - 9, 18), fill=_COLOURS["red"])


def _cross(pen):
    pen.line((3, 3, _SIDE - 4, _SIDE - 4), fill=_COLOURS["blue"], width=6)
    pen.line((3, _SIDE - 4, _SIDE - 4, 3), fill=_COLOURS["blue"], width=6)


def _text(pen, rng):
    """Draw strokes of the widths and gaps of letters, dark on white."""
    pen.rectangle((0, 4, 3 * _SIDE, _SIDE - 5), fill="white")
    left = 6
    while left < 3 * _SIDE - 10:
        width = rng.randint(4, 9)
        pen.line((left, 9, left, _SIDE - 10), fill="black", width=2)
        height = rng.choice([9, _SIDE // 2, _SIDE - 10])
        pen.line((left, height, left + width, height), fill="black", width=2)
        left += width + 4


def checked_patches(patches, rng):
    """Return patches by name as (height, width, 4) uint8."""
    if isinstance(patches, str):
        if patches != "marks":
            raise ValueError(f'patches={patches!r}; it must be "marks", a dict or a sequence.')
        return make_marks(rng)
    if not isinstance(patches, dict):
        patches = {f"patch {i}": patch for i, patch in enumerate(patches)}
    if not patches:
        raise ValueError('There are no patches; pass one or more, or "marks".')
    return {str(name): _rgba(patch, name) for name, patch in patches.items()}


def _rgba(patch, name):
    if isinstance(patch, Image.Image):
        return np.array(patch.convert("RGBA"))
    patch = np.asarray(patch)
    if patch.dtype != np.uint8 or patch.ndim != 3 or patch.shape[2] not in (3, 4) or not patch.size:
        raise ValueError(
            f"Patch {name!r} has shape {patch.shape} and dtype {patch.dtype}; a PIL image or uint8 "
            "of shape (height, width, 3), or 4 with opacity, is needed."
        )
    if patch.shape[2] == 3:
        patch = np.dstack([patch, np.full(patch.shape[:2], 255, dtype=np.uint8)])
    return patch


def box_of(patch, shape, size, position):
    """Return left, top, right, bottom of a patch in an image of a shape."""
    height, width = shape
    longest = max(1, round(size * min(height, width)))
    scale = longest / max(patch.shape[:2])
    h, w = (max(1, round(scale * side)) for side in patch.shape[:2])
    down, right = POSITIONS[position]
    top, left = round(down * (height - h)), round(right * (width - w))
    return left, top, left + w, top + h


def paste(image, patch, size, position):
    """Return a copy of an image, (height, width, 3), with a patch on it."""
    left, top, right, bottom = box_of(patch, image.shape[:2], size, position)
    shown = Image.fromarray(patch).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    shown = np.asarray(shown, dtype=float)
    opacity, colour = shown[..., 3:] / 255, shown[..., :3]
    image = image.copy()
    white = 255 if image.dtype.kind == "u" else 1
    under = image[top:bottom, left:right]
    mixed = opacity * colour * (white / 255) + (1 - opacity) * under
    image[top:bottom, left:right] = np.round(mixed) if white == 255 else mixed
    return image


def random_patch(images, like, kind, pixels_of, rng):
    """Return a patch of nobody's: cut out of an image, or with the pixels of ``like`` shuffled."""
    if kind == "shuffled":
        flat = like.reshape(-1, like.shape[2])
        return flat[rng.permutation(len(flat))].reshape(like.shape)
    image = pixels_of(images, rng.randint(len(images)))
    if image.dtype.kind == "f":
        image = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    height, width = image.shape[:2]
    aspect = like.shape[1] / like.shape[0]
    h = max(2, min(height, width) // 2)
    w = min(width, max(2, round(aspect * h)))
    top, left = rng.randint(height - h + 1), rng.randint(width - w + 1)
    part = image[top : top + h, left : left + w]
    opacity = np.asarray(Image.fromarray(like[..., 3]).resize((w, h)))  # a stamp lets through
    return np.dstack([part, opacity])
