"""The first page of a PDF, small; runs in the sandbox."""

from io import BytesIO
from typing import BinaryIO

# A card in a list: the page is recognised, not read.
WIDTH, HEIGHT = 400, 566
BYTES_MAX = 40_000


def first_page_webp(source: BinaryIO) -> bytes:
    """Its sharpest WebP of at most BYTES_MAX."""
    import pypdfium2

    page = pypdfium2.PdfDocument(source.read())[0]
    width, height = page.get_size()
    scale = min(WIDTH / width, HEIGHT / height)
    image = page.render(scale=scale).to_pil().convert("RGB")
    while True:
        for quality in (75, 50, 25, 10):
            webp = BytesIO()
            image.save(webp, "WEBP", quality=quality, method=6)
            if webp.tell() <= BYTES_MAX:
                return webp.getvalue()
        image = image.reduce(2)
