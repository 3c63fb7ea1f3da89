"""What the vendor says of the document, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from marshmallow import ValidationError, fields

from schemas.fields import Millis, ReadableList, Truth
from schemas.record import VendorRecord
from schemas.vendor_json import doubled

#: What a link loads as that is no text, or that stands twice with different values: no host is asked for it.
UNUSABLE_LINK: Final = "unusable:"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sides(Generic[T]):
    """The same thing of the document's two sides; None where the vendor says nothing."""

    front: T | None = None
    back: T | None = None


@dataclass(frozen=True, slots=True)
class QualityLabels:
    """What the vendor thinks of an image. A document that passed may still be exposed."""

    is_blur: bool | None = None
    is_dim: bool | None = None
    is_exposure: bool | None = None


@dataclass(frozen=True, slots=True)
class DocEvent:
    """A step of the user's, such as `FE_DOCUMENT_SCAN`."""

    event: str | None = None
    result: str | None = None
    created_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DocDetail:
    """The document. What is personal in it stays out of its `repr`, and so out of logs and tracebacks."""

    #: `docResult` or `ocrResult`; where they differ, the one that is not PASS.
    doc_result: str | None = None
    #: Links, which may die after a day, or images in Base64. Only who fetches them judges them.
    front_image: str | None = field(default=None, repr=False)
    back_image: str | None = field(default=None, repr=False)
    doc_type: Sides[str] = Sides()
    sub_doc_type: Sides[str] = Sides()
    #: An open map for each side, by the type of the document.
    ocr_info: Sides[Mapping[str, Any]] = field(default=Sides(), repr=False)
    quality_labels: Sides[QualityLabels] = Sides()
    #: Only `photocopy` has been seen, and also in a document that passed.
    forgery_labels: tuple[str, ...] = ()
    events: tuple[DocEvent, ...] = ()


def is_pass(word: str) -> bool:
    """Whether the vendor says PASS, in whatever case."""
    # ASCII first: the long s of older English, too, is an S in capitals.
    return word.isascii() and word.upper() == "PASS"


class OpenMap(fields.Field[Mapping[str, Any]]):
    """An object whose names nobody knows beforehand."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Mapping[str, Any]:
        del attr, data, kwargs
        if not isinstance(value, Mapping):
            raise ValidationError("must be an object")
        return MappingProxyType(value)


class Link(fields.Field[str | None]):
    """The link of an image as it is. An empty value loads as None, what is no text as ``UNUSABLE_LINK``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        del kwargs
        if not value:
            return None
        return value if isinstance(value, str) and attr not in doubled(data) else UNUSABLE_LINK


class TextSides(VendorRecord):
    into = Sides

    front = fields.String()
    back = fields.String()


class MapSides(VendorRecord):
    into = Sides

    front = OpenMap()
    back = OpenMap()


class QualityLabelsSchema(VendorRecord):
    into = QualityLabels

    is_blur = Truth()
    is_dim = Truth()
    is_exposure = Truth()


class QualitySides(VendorRecord):
    into = Sides

    front = fields.Nested(QualityLabelsSchema)
    back = fields.Nested(QualityLabelsSchema)


class DocEventSchema(VendorRecord):
    """`createTimestmap` is how this product's page spells what its siblings call `createTimestamp`."""

    into = DocEvent

    event = fields.String()
    result = fields.String()
    create_timestamp = Millis()
    create_timestmap = Millis()

    def said(self, data: dict[str, Any]) -> dict[str, Any]:
        spelt, misspelt = data.pop("create_timestamp", None), data.pop("create_timestmap", None)
        return data | {"created_at_ms": spelt or misspelt}


class DocDetailSchema(VendorRecord):
    """`ocrResult` and `docResult` are two names of one thing in the vendor's examples."""

    into = DocDetail
    decided = frozenset({"docResult", "ocrResult"})

    doc_result = fields.String()
    ocr_result = fields.String()
    front_image = Link(data_key="docFrontImage")
    back_image = Link(data_key="docBackImage")
    doc_type = fields.Nested(TextSides)
    sub_doc_type = fields.Nested(TextSides)
    ocr_info = fields.Nested(MapSides)
    quality_labels = fields.Nested(QualitySides)
    forgery_labels = ReadableList(fields.String(allow_none=True))
    events = ReadableList(fields.Nested(DocEventSchema, allow_none=True), data_key="eventDetails")

    def said(self, data: dict[str, Any]) -> dict[str, Any]:
        said = [word for word in (data.get("doc_result"), data.pop("ocr_result", None)) if word]
        data["doc_result"] = next((word for word in said if not is_pass(word)), said[0] if said else None)
        for name in ("forgery_labels", "events"):
            data[name] = tuple(entry for entry in data.get(name) or () if entry is not None)
        return data
