"""The one normal form in which texts are searched and compared, and what there is to see."""

import re
import unicodedata

_LIGATURES = str.maketrans({"œ": "oe", "Œ": "oe", "æ": "ae", "Æ": "ae", "’": "'", "ʼ": "'"})
# Letters and signs by name, blanks to the eye: Hangul fillers and the empty Braille cell.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


# `c++` and `c#` are names; the other signs part words, or are nothing.
_WORD = re.compile(r"[^\W_]+(?:\+\+|#)?")
_ELISION = re.compile(r"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)'")
WORD_MAX = 40


def is_visible(text: str) -> bool:
    """Letters, digits, punctuation, signs: not spaces, marks alone, or what steers the layout."""
    return any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANK for char in text)


def normalise(text: str) -> str:
    """`Équations  différentielles` -> `equations differentielles`."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LIGATURES))
    stripped = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(stripped.casefold().split())


def words(text: str) -> list[str]:
    """What a text is found by, each once and in order: `l'Œuvre d'Euler` -> `oeuvre`, `euler`."""
    found = _WORD.findall(_ELISION.sub("", normalise(text)))
    return list(dict.fromkeys(word[:WORD_MAX] for word in found))
