"""Pictures on white: what lies below transparent pixels is not seen.

The short ways give the values of the long one, ``composed``: an opaque picture needs no composing, and of a palette the
few colours are composed instead of all pixels.
"""

from __future__ import annotations

from PIL import Image


def rgba(image: Image.Image) -> Image.Image:
    """The picture with its transparency as a channel."""
    return image if image.mode == "RGBA" else image.convert("RGBA")


def on_white(image: Image.Image, mode: str, colours: Image.Image | None = None) -> Image.Image:
    """In ``mode``, "L" or "RGB", on white; ``colours``: by ``palette``, where they are known already."""
    if image.mode == "P":
        return _of_palette(image, composed(colours or palette(image), mode))
    if image.mode in {"L", "RGB"} and not image.has_transparency_data:
        return image.convert(mode)
    return composed(image, mode)


def palette(image: Image.Image) -> Image.Image:
    """The 256 colours of a palette's numbers, RGBA, as 16 x 16 pixels."""
    numbers = image.crop((0, 0, 16, 16))
    numbers.frombytes(bytes(range(256)))
    return numbers.convert("RGBA")


def composed(image: Image.Image, mode: str) -> Image.Image:
    """In ``mode`` on white, pixel by pixel."""
    white = Image.new(mode, image.size, 255 if mode == "L" else (255, 255, 255))
    layer = image if image.mode == "LA" else rgba(image)
    white.paste(layer.convert(mode), mask=layer.getchannel("A"))
    return white


def _of_palette(image: Image.Image, colours: Image.Image) -> Image.Image:
    """The picture with the 256 ``colours``, of mode "L" or "RGB", in the place of its palette's."""
    if colours.mode == "L":
        return Image.frombytes("L", image.size, image.tobytes().translate(colours.tobytes()))
    opaque = Image.frombytes("P", image.size, image.tobytes())
    opaque.putpalette(colours.tobytes())
    return opaque.convert("RGB")
