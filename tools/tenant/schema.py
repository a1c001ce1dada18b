"""`tandem schema`: the format of such files as a JSON Schema, for editors and for programs that write them."""

from __future__ import annotations

import json
from typing import Any, Final

import typer

from tools.tenant.described import DESCRIBED, VERSION, default_of, is_word, sections_of
from tools.tenant.model import ACCOUNT, Field, Resource

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> None:
    """Print the JSON Schema of the files that `tandem apply` takes."""
    typer.echo(json.dumps(document_schema(), indent=2, ensure_ascii=False))


def document_schema() -> dict[str, Any]:
    """Return the schema; a resource of the catalogue is a definition of its name."""
    return {
        "$schema": DIALECT,
        "title": "A tenant of Tandem",
        "description": "What is not said stays as it is; a list that is said is said whole.",
        "type": "object",
        "required": ["tandem", "account"],
        "additionalProperties": False,
        "properties": {
            "tandem": {"const": int(VERSION), "description": "Version of this format."},
            "below": {"type": "string", "description": "Path of the account above; default: the acting account."},
            "account": {"$ref": f"#/$defs/{ACCOUNT}"},
        },
        "$defs": {name: _definition(resource) for name, resource in DESCRIBED.items()},
    }


def _definition(resource: Resource) -> dict[str, Any]:
    if is_word(resource):
        return {"description": resource.help, **dict(resource.written[0].kind.schema)}
    properties = {field.name: _property(field) for field in resource.written}
    for section, inner in sections_of(resource.name).items():
        properties[section] = {
            "description": inner.help,
            "type": "array",
            "items": {"$ref": f"#/$defs/{inner.name}"},
        }
    return {
        "description": resource.help,
        "type": "object",
        "required": [name for name in resource.key if resource.field(name).required],
        "additionalProperties": False,
        "properties": properties,
    }


def _property(field: Field) -> dict[str, Any]:
    """Return the schema of a field; null stands for what is so by default."""
    said: dict[str, Any] = {"description": field.help}
    if field.default is not None:
        said["default"] = default_of(field)
    of_value = _with_numbers(dict(field.kind.schema))
    return {**said, **of_value} if field.required else {**said, "anyOf": [of_value, {"type": "null"}]}


def _with_numbers(of_value: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in which amounts may have decimals without quotes: the file is read as text."""
    if of_value.get("type") == ["string", "integer"]:
        return {**of_value, "type": ["string", "number"]}
    if "anyOf" in of_value:
        return {**of_value, "anyOf": [_with_numbers(dict(each)) for each in of_value["anyOf"]]}
    return of_value
