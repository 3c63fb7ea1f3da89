"""Checks against JSON schemas. Their packages take seconds to import, so a process imports them for its first check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_schema(schema: Mapping[str, Any]) -> None:
    """Fail unless `schema` is itself valid."""
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema)


def check(document: Any, schema: Mapping[str, Any]) -> None:
    """Fail unless `schema` allows `document`."""
    from jsonschema import Draft202012Validator

    Draft202012Validator(schema).validate(document)


def check_kubernetes(document: Mapping[str, Any], version: str = "1.37") -> None:
    """Fail unless this version of the Kubernetes API allows `document`. A field that it does not know is a fault."""
    import kubernetes_validate

    kubernetes_validate.validate(document, version, strict=True)
