"""Figures lose their weight, not their sharpness: line drawings need few colours.

A plain median cut turns the palette's orange to brown. So the colours that cover most of a figure
are kept exactly, and only the shades between them (the soft edges of letters and lines) are merged.
"""

import base64
import hashlib
import html
import io
from pathlib import Path

import numpy as np
from PIL import Image

from . import svg

LARGEST = 60_000  # bytes of an SVG, as matplotlib writes it; what is larger is a picture
FLAT, SOFT = 24, 20  # colours kept exactly, and colours for everything else


def lighten(source, target):
    """Writes the picture `source` as lossless WebP of few colours to `target`."""
    with Image.open(source) as image:
        picture = Image.new("RGB", image.size, "white")
        rgba = image.convert("RGBA")
        picture.paste(rgba, mask=rgba.getchannel("A"))
    pixels = np.asarray(picture).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    packed, which, count = np.unique(pixels, return_inverse=True, return_counts=True)
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], -1).astype(np.uint8)
    if len(colours) > FLAT + SOFT:
        order = np.argsort(-count)
        rest = Image.fromarray(colours[order[FLAT:]][None])
        few = rest.quantize(SOFT, method=Image.Quantize.MEDIANCUT)
        shades = np.array(few.getpalette()[:3 * SOFT])
        palette = np.concatenate([colours[order[:FLAT]], shades.reshape(-1, 3)]).astype(int)
        far = ((colours[:, None].astype(int) - palette) ** 2).sum(-1)  # (colours, palette)
        new = palette[far.argmin(1)].astype(np.uint8)[which.ravel()]
        picture = Image.fromarray(new.reshape(*picture.size[::-1], 3))
    picture.save(target, "WEBP", lossless=True, quality=75, method=4)


def picture(data, alt, name, folder, root):
    """A figure on its page: the SVG itself, else an `<img>`.

    Args:
        data: the output's pictures by their kind.
        alt: what it shows, in words.
        name: the figure's name on the page.
        folder: where the pictures of the site are; the file is written there.
        root: from the page to the site's folder, "../".
    """
    if "image/svg+xml" in data and len(data["image/svg+xml"]) <= LARGEST:
        return svg.inline(data["image/svg+xml"], alt, name)
    return image(base64.b64decode(data["image/png"]), alt, folder, root)


def image(drawn, alt, folder, root):
    """A PNG's `<img>`; the file is written, lightened, into the folder."""
    name = hashlib.sha256(drawn).hexdigest()[:16] + ".webp"
    width, height = Image.open(io.BytesIO(drawn)).size
    target = Path(folder) / name
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        lighten(io.BytesIO(drawn), target)
    return (f'<img src="{root}_images/{name}" width="{width}" height="{height}" loading="lazy" '
            f'decoding="async" alt="{html.escape(alt)}">')
