"""The text of a PDF. Read in a sandbox: it imports nothing of Django."""

import re
from typing import BinaryIO

TEXT_MAX = 100_000
# What TeX's oldest fonts draw apart from its letter: `diff´erentielle`, `ˆıle`.
_LOOSE_ACCENT = re.compile(r"[´`¨ˆ˜¸]\s?(?=[^\W\d_])")
_HYPHENATION = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")


def read_text(source: BinaryIO) -> bytes:
    """The first TEXT_MAX characters, in UTF-8; empty for a scan."""
    from pypdf import PdfReader

    pages, left = [], TEXT_MAX
    for page in PdfReader(source).pages:
        text = mended(page.extract_text())[:left]
        pages.append(text)
        left -= len(text) + 1
        if left <= 0:
            break
    return "\n".join(pages).encode("utf-8", "ignore")


def mended(text: str) -> str:
    return _HYPHENATION.sub("", _LOOSE_ACCENT.sub("", text)).replace("ı", "i")
