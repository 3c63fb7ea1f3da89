"""What the vendor reports about the document, for each side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from marshmallow import ValidationError, fields

from schemas.fields import Millis, ReadableList, Truth
from schemas.record import Nested, VendorRecord
from schemas.vendor_json import doubled

#: The value of a link that is not text, or that occurs twice with different values. It is never requested.
UNUSABLE_LINK: Final = "unusable:"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sides(Generic[T]):
    """One value for each side of the document; None if the vendor does not send it."""

    front: T | None = None
    back: T | None = None


@dataclass(frozen=True, slots=True)
class QualityLabels:
    """The vendor's quality labels of an image. A document that passed may still be exposed."""

    is_blur: bool | None = None
    is_dim: bool | None = None
    is_exposure: bool | None = None


@dataclass(frozen=True, slots=True)
class DocEvent:
    """A step of the user, such as `FE_DOCUMENT_SCAN`."""

    event: str | None = None
    result: str | None = None
    created_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DocDetail:
    """The document. Its personal data is not in its `repr`, and so not in logs and tracebacks."""

    #: `docResult` or `ocrResult`; if they differ, the one that is not PASS.
    doc_result: str | None = None
    #: Links, which may expire after a day, or images in Base64. They are checked only when they are fetched.
    front_image: str | None = field(default=None, repr=False)
    back_image: str | None = field(default=None, repr=False)
    doc_type: Sides[str] = Sides()
    sub_doc_type: Sides[str] = Sides()
    #: An open map for each side, by the type of the document.
    ocr_info: Sides[Mapping[str, Any]] = field(default=Sides(), repr=False)
    quality_labels: Sides[QualityLabels] = Sides()
    #: Only `photocopy` has been seen, also in a document that passed.
    forgery_labels: tuple[str, ...] = ()
    events: tuple[DocEvent, ...] = ()


def is_pass(word: str) -> bool:
    """Return whether a word is PASS, in any letter case."""
    # ASCII first: `upper` also turns the long s (U+017F) into S.
    return word.isascii() and word.upper() == "PASS"


class OpenMap(fields.Field[Mapping[str, Any]]):
    """An object with arbitrary names."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Mapping[str, Any]:
        del attr, data, kwargs
        if not isinstance(value, Mapping):
            raise ValidationError("must be an object")
        return MappingProxyType(value)


class Link(fields.Field[str | None]):
    """The link of an image, unchanged. An empty value loads as None, a value that is not text as ``UNUSABLE_LINK``."""

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

    front = Nested(QualityLabelsSchema)
    back = Nested(QualityLabelsSchema)


class DocEventSchema(VendorRecord):
    """This product's page spells `createTimestmap` what its siblings call `createTimestamp`."""

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
    unread = frozenset({"subDocType", "ocrInfo", "eventDetails"})

    doc_result = fields.String()
    ocr_result = fields.String()
    front_image = Link(data_key="docFrontImage")
    back_image = Link(data_key="docBackImage")
    doc_type = Nested(TextSides)
    sub_doc_type = Nested(TextSides)
    ocr_info = Nested(MapSides)
    quality_labels = Nested(QualitySides)
    forgery_labels = ReadableList(fields.String(allow_none=True))
    events = ReadableList(Nested(DocEventSchema, allow_none=True), data_key="eventDetails")

    def said(self, data: dict[str, Any]) -> dict[str, Any]:
        results = [word for word in (data.get("doc_result"), data.pop("ocr_result", None)) if word]
        failed = [word for word in results if not is_pass(word)]
        data["doc_result"] = (failed or results or [None])[0]
        for name in ("forgery_labels", "events"):
            data[name] = tuple([entry for entry in data.get(name) or () if entry is not None])
        return data
