"""What all objects of the vendor have in common, whatever they tell."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, fields, post_load


class VendorRecord(Schema):
    """An object as the vendor sends it, loaded into the frozen value `into`.

    Names are camel case on the wire. Every field may be missing, and null says as much as missing: what
    such a field then is, the defaults of `into` say. Fields that nobody declared are left out.
    Schemas are made once, at import: making one costs more than a load.
    """

    into: ClassVar[type[Any]]

    class Meta:
        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        if field_obj.data_key is None:
            first, *rest = field_name.split("_")
            field_obj.data_key = first + "".join(map(str.title, rest))
        if not field_obj.required:
            field_obj.allow_none = True

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> Any:
        return self.into(**{name: value for name, value in self.said(data).items() if value is not None})

    def said(self, data: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `into`, from the fields that were there. May raise ``ValidationError``."""
        return data
