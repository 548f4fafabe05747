"""Figures and pictures as text that a page can hold."""

import base64
import io
import re

from PIL import Image

_INK = "#010203"  # stands for the colour of the text around, in what matplotlib writes
_WIDTH = 4.6  # inches: on a phone the text is still as large as the text around
_LARGEST = 160  # pixels of a picture's longer side
_RC = {
    "svg.fonttype": "none",
    "text.usetex": False,  # names are text, not TeX
    **dict.fromkeys(
        ["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"], _INK
    ),
}


def inline_svg(draw, *args, **kwargs):
    """Return the figure that ``draw`` makes, as SVG in the colour of its surroundings."""
    import matplotlib.pyplot as plt

    salt = draw.__qualname__  # ids stay apart on one page, and the same in every run
    file = io.StringIO()
    open_before = plt.get_fignums()
    try:
        with plt.rc_context({**_RC, "svg.hashsalt": salt}):
            figure = draw(*args, **kwargs).figure_
            figure.set_size_inches(_WIDTH, figure.get_figheight())
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    finally:
        for number in set(plt.get_fignums()).difference(open_before):
            plt.close(number)
    text = file.getvalue()
    # In styles alone: a group may be called as the ink is.
    styled = re.sub(r'style="[^"]*"', lambda s: s[0].replace(_INK, "currentColor"), text)
    return styled[styled.index("<svg") :]


def data_uri(pixels):
    """Return uint8 pixels, (height, width, 3), as the address of a picture in the page."""
    image = Image.fromarray(pixels)
    image.thumbnail((_LARGEST, _LARGEST))
    form = "PNG" if max(image.size) <= 64 else "JPEG"
    file = io.BytesIO()
    image.save(file, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
