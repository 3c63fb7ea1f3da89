"""The labels of a document as words that tables decide on: printable codes, nothing personal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schemas.fields import UNPRINTABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.document import DocDetail

#: What a label or a type looks like: `photocopy`, `MY-ID-MYKAD`.
LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_QUALITY: Final = {"is_blur": "isBlur", "is_dim": "isDim", "is_exposure": "isExposure"}


def document_type(detail: DocDetail) -> str | None:
    """The type of the front, or of the back where the front has none."""
    found = detail.doc_type.front or detail.doc_type.back
    return _label(found) if found else None


def forgery_labels(detail: DocDetail) -> tuple[str, ...]:
    """Each forgery label once."""
    return _once(_label(label) for label in detail.forgery_labels if label)


def quality_labels(detail: DocDetail) -> tuple[str, ...]:
    """The vendor's name of each quality label that is true of a side: `isBlur`, `isDim`, `isExposure`."""
    sides = [side for side in (detail.quality_labels.front, detail.quality_labels.back) if side]
    found = [label for name, label in _QUALITY.items() for side in sides if getattr(side, name)]
    return tuple(dict.fromkeys(found))


def _label(text: str) -> str:
    return text if LABEL.fullmatch(text) else UNPRINTABLE


def _once(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(labels))
