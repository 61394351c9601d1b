"""JSON text as plain data, refusing what `json` lets pass: repeated keys, NaN, nesting without end."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from opanas_cli.errors import InvalidGenotypeError

MAX_DEPTH = 64

JsonPath = tuple[str | int, ...]


def parse(text: str, where: str) -> object:
    """The data in `text`.

    Raises:
        InvalidGenotypeError: the text is not JSON, repeats a key, holds a number that is not finite, or nests too deep.
    """
    repeated: list[tuple[dict[str, Any], str]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        collected: dict[str, Any] = {}
        for key, value in pairs:
            if key in collected:
                repeated.append((collected, key))
            collected[key] = value
        return collected

    if not text.strip():
        raise InvalidGenotypeError(f"{where}: the file is empty; a genotype begins with '{{'")
    try:
        document: object = json.loads(text, object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidGenotypeError(f"{where}: {place}: not JSON ({error.msg}); correct the file there") from None
    except RecursionError:
        raise InvalidGenotypeError(_too_deep(where)) from None
    except ValueError as error:
        raise InvalidGenotypeError(f"{where}: not JSON that can be read ({error})") from None
    check(document, where, {id(found): key for found, key in repeated})
    return document


def check(document: object, where: str, repeated: Mapping[int, str] | None = None) -> None:
    """Check the depth and the numbers of plain data, and that no object's id is among those with a repeated key.

    Raises:
        InvalidGenotypeError: it nests too deep, holds a number that is not finite, or an object with a repeated key.
    """
    waiting: list[tuple[JsonPath, object]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > MAX_DEPTH:
            raise InvalidGenotypeError(_too_deep(where))
        if repeated and id(value) in repeated:
            key = repeated[id(value)]
            raise InvalidGenotypeError(f"{located(where, (*path, key))}: the key is given twice; keep one")
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidGenotypeError(f"{located(where, path)}: a finite number is needed, but got {value}")
        inner: list[tuple[JsonPath, object]] = []
        if isinstance(value, Mapping):
            inner = [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, (list, tuple)):
            inner = [((*path, place), item) for place, item in enumerate(value)]
        waiting.extend(reversed(inner))


def located(where: str, path: Sequence[str | int]) -> str:
    """The beginning of a message: the file, and the JSON path within it, as in ``best.json: edges[7].path``."""
    steps = ""
    for step in path:
        if isinstance(step, str) and step.isidentifier():
            steps += f".{step}" if steps else step
        else:
            steps += f"[{json.dumps(step)}]" if isinstance(step, (str, int)) else f"[{step!r}]"
    return f"{where}: {steps}" if steps else where


def _too_deep(where: str) -> str:
    return f"{where}: nested deeper than {MAX_DEPTH} levels; a genotype needs 3, and metadata should be flatter"
