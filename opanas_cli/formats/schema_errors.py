"""What the JSON Schema of genotypes finds, in words that say how to correct it."""

from __future__ import annotations

import json
from functools import lru_cache
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any, cast

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.strict_json import located
from opanas_cli.genotype import SpaceKind
from opanas_cli.shipped import shipped_dir
from opanas_cli.suggestions import suggestion

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

SCHEMA_FILE = "genotype.schema.json"

TYPE_NAMES = {"object": "an object", "array": "a list", "integer": "a whole number", "string": "a string"}

RANK = {"additionalProperties": 0, "required": 1}
"""A misspelled key is reported before the missing one that it stands for."""


def check_schema(document: object, where: str) -> None:
    """Check a document against the schema in genotypes/.

    Raises:
        InvalidGenotypeError: it does not conform; the message gives the error that is nearest to the root.
    """
    errors = list(_validator().iter_errors(document))
    if errors:
        error = min(errors, key=_order)
        raise InvalidGenotypeError(_message(error, where))


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    schema = json.loads((shipped_dir("genotypes") / SCHEMA_FILE).read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def _order(error: ValidationError) -> tuple[Any, ...]:
    steps = [(isinstance(step, int), step) for step in error.absolute_path]
    return len(steps), RANK.get(str(error.validator), 2), steps


def _message(error: ValidationError, where: str) -> str:
    path = tuple(error.absolute_path)
    place = located(where, path)
    got, wanted = cast(Any, error.instance), cast(Any, error.validator_value)
    match error.validator:
        case "additionalProperties":
            known = cast(dict[str, Any], error.schema)["properties"]
            key = next(key for key in got if key not in known)
            return f"{located(where, (*path, key))}: unknown key; {suggestion(str(key), known)}"
        case "required":
            key = next(key for key in wanted if key not in got)
            return f"{place}: the key '{key}' is missing; add it"
        case "type":
            return f"{place}: {TYPE_NAMES[wanted]} is needed, but got {shown(got)}"
        case "minimum":
            return f"{place}: at least {wanted} is needed, but got {shown(got)}"
        case "maximum":
            return f"{place}: at most {wanted} is allowed, but got {shown(got)}"
        case "minItems":
            return f"{place}: the list is empty; list every edge once"
        case "const":
            return f"{place}: {json.dumps(wanted)} is needed, but got {shown(got)}"
        case _:
            return f"{place}: {_unknown_space(got)}"


def _unknown_space(value: object) -> str:
    try:
        SpaceKind.parse(value)
    except InvalidGenotypeError as error:
        return str(error)
    raise AssertionError(f"the schema refuses the space {value!r}, which is known")
