"""Photographs of a paper become the pages of one PDF; runs in the sandbox."""

import datetime as dt
import zipfile
from io import BytesIO
from typing import IO, TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image

# A4 at about 170 dots per inch: small writing stays legible, a page weighs some 200 kB.
LONG_SIDE = 1920
QUALITY = 60
# More than a telephone takes in one picture; PNG is decoded whole, at four bytes a pixel.
PIXELS_MAX = 50_000_000
A4_HEIGHT_PT = 842


def photographs_to_pdf(source: BinaryIO) -> bytes:
    """The PDF of a ZIP's members, in their order; or the rank of the first that is no photograph.

    The same photographs give the same bytes: without a date, and without what the camera wrote
    about itself, its owner and the place.
    """
    from fpdf import FPDF

    pdf = FPDF(unit="pt")
    pdf.set_creation_date(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    pdf.set_producer("")
    with zipfile.ZipFile(source) as archive:
        for rank, member in enumerate(archive.infolist(), start=1):
            with archive.open(member) as photograph:
                page = _page(photograph)
            if page is None:
                return str(rank).encode()
            jpeg, width, height = page
            scale = A4_HEIGHT_PT / max(width, height)
            size = (width * scale, height * scale)
            pdf.add_page(format=size)
            pdf.image(BytesIO(jpeg), x=0, y=0, w=size[0], h=size[1])
    return bytes(pdf.output())


def _page(photograph: IO[bytes]) -> tuple[bytes, int, int] | None:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(photograph, formats=("JPEG", "PNG")) as image:
            if image.width * image.height > PIXELS_MAX:
                return None
            # A JPEG can be decoded at a fraction of its size, hence of the memory.
            image.draft(None, (LONG_SIDE, LONG_SIDE))
            image.thumbnail((LONG_SIDE, LONG_SIDE))
            upright = _on_white(ImageOps.exif_transpose(image))
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
    ):
        return None
    jpeg = BytesIO()
    upright.save(jpeg, "JPEG", quality=QUALITY, optimize=True, progressive=True)
    return jpeg.getvalue(), upright.width, upright.height


def _on_white(image: "Image") -> "Image":
    """In grey or in colours, of pixels alone: no comment, no position, no thumbnail of its own."""
    from PIL import Image

    if image.mode in {"L", "1", "I;16", "I"} and "transparency" not in image.info:
        grey = image if image.mode in {"L", "1"} else image.point(lambda value: value / 256)
        return _bare(grey.convert("L"))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return _bare(Image.alpha_composite(white, rgba).convert("RGB"))
    return _bare(image.convert("RGB"))


def _bare(image: "Image") -> "Image":
    image.info = {}
    return image
