"""Names as people write them: ids and words, cleaned of what a file put around them."""

import re
import unicodedata

import numpy as np

from retention.frames.source import RawColumn
from retention.frames.table import IntColumn

NOTHING = frozenset({"", "nan", "none", "null", "n/a", "#n/a", "nat", "<na>"})
EDGES = " \t\r\n\v\f\0\u00a0\u2007\u2009\u202f\ufeff"


def trimmed(text: str) -> str:
    """The text without blank edges; empty if it is one of the words for nothing."""
    bare = text.strip(EDGES)
    return "" if bare.casefold() in NOTHING else bare


def names(column: RawColumn) -> tuple[list[str], IntColumn, bool]:
    """Names as text, whatever they came as; which of them each row has (-1 for none); whether a ``.0`` was cut off.

    Numbers written 17850.0 are names 17850 where every cell of the column is of that kind.
    """
    if column.kind == "text":
        texts = [trimmed(label) for label in column.labels]
        cut = any(texts) and all(_point_zero(text) for text in texts if text)
        return [text[:-2] for text in texts] if cut else texts, column.values.astype(np.int64), cut
    distinct, codes = np.unique(column.values, return_inverse=True)
    if column.kind == "float":
        texts = [str(int(v)) if np.isfinite(v) and v == int(v) else str(v) for v in distinct.tolist()]
    else:
        texts = [str(v) for v in distinct.tolist()]
    return texts, np.where(column.missing, -1, codes.reshape(-1)), False


def _point_zero(text: str) -> bool:
    return text.endswith(".0") and text[:-2].isascii() and text[:-2].isdigit() and (text[0] != "0" or text == "0.0")


def shape(text: str) -> str:
    """What a text looks like without what it says: letters become a, digits 9."""
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text[:40]))


def plain(text: str) -> str:
    """The text in small letters without accents, as headers and answers are compared."""
    letters = unicodedata.normalize("NFKD", text.strip(EDGES).casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
