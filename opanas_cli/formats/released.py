"""The format of the released model: an mmdet 2 config with ``paths`` and ``stack``, read as data and never run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from reprlib import repr as shown

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.registry import Codec, GenotypeRecord, errors_at
from opanas_cli.genotype import Genotype, PathType, SpaceKind
from opanas_cli.suggestions import suggestion

RELEASED_NAMES = {
    "top_down": "TD",
    "bottom_up": "BU",
    "scale_equalizing": "SE",
    "fusing_splitting": "FS",
    "skip_connect": "skip_connect",
    "none": "none",
}
"""The paths that the released model has, with its names for them."""

MAX_CHARACTERS = 1 << 16
"""Some three times the longest config of mmdet. Python 3.10 crashes on expressions nested a hundred thousand deep."""

_PATHS = {spelling: PathType.parse(name) for name, spelling in RELEASED_NAMES.items()}
_MEANT = {**RELEASED_NAMES, **{path.short: spelling for spelling, path in _PATHS.items()}}


@dataclass(frozen=True, slots=True)
class _Found:
    """A neck in a config: its two settings."""

    paths: ast.expr
    stack: ast.expr | None


def loads(text: str, where: str) -> GenotypeRecord:
    """The genotype in a config: the list called ``paths`` in a call, a dict or an assignment, and ``stack`` beside it.

    InvalidGenotypeError if the text is not Python, or has no such list, several that differ, or one of no genotype.
    """
    found = list(_necks(_parse(text, where)))
    if not found:
        raise InvalidGenotypeError(f"{where}: there is no 'paths=[...]' in it; is this the config of an OPA-FPN?")
    genotypes = [(neck.paths.lineno, _genotype(neck, text, where)) for neck in found]
    line, genotype = genotypes[0]
    for other_line, other in genotypes[1:]:
        if other != genotype:
            raise InvalidGenotypeError(f"{where}: lines {line} and {other_line} have different paths; keep one")
    return GenotypeRecord(genotype)


def dumps(record: GenotypeRecord) -> str:
    """A config that sets the neck's ``paths`` and ``stack``, to be merged into a detector's; metadata is left out.

    InvalidGenotypeError if the genotype is a chain or has a path that the released model lacks.
    """
    if record.genotype.space is not SpaceKind.DENSE:
        raise InvalidGenotypeError(
            "the released format has dense genotypes only, but got a chain; convert it to json or text"
        )
    if unknown := next((path for path in record.genotype.paths if path not in RELEASED_NAMES), None):
        raise InvalidGenotypeError(f"the released model has no path '{unknown}'; convert to json or text")
    nodes = groupby(record.genotype.items(), key=lambda item: item[0].target)
    rows = [", ".join(f"'{RELEASED_NAMES[path]}'" for _, path in group) for _, group in nodes]
    paths = "".join(f"            {row},\n" for row in rows)
    return (
        "model = dict(\n    neck=dict(\n        type='OPA_FPN',\n"
        f"        stack={record.genotype.num_nodes},\n        paths=[\n{paths}        ]))\n"
    )


RELEASED = Codec("released", (".py",), loads, dumps)


def _parse(text: str, where: str) -> ast.Module:
    if len(text) > MAX_CHARACTERS:
        raise InvalidGenotypeError(
            f"{where}: longer than {MAX_CHARACTERS} characters; give the config of the neck alone"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        place = f"line {error.lineno}, column {error.offset}"
        raise InvalidGenotypeError(f"{where}: {place}: not Python ({error.msg}); correct the file there") from None
    except ValueError as error:
        raise InvalidGenotypeError(f"{where}: not Python ({error})") from None
    except (RecursionError, MemoryError):
        raise InvalidGenotypeError(f"{where}: nested too deep; give the config of the neck alone") from None


def _necks(module: ast.Module) -> Iterator[_Found]:
    assigned = _assigned(module.body)
    if "paths" in assigned:
        yield _Found(assigned["paths"], assigned.get("stack"))
    for node in ast.walk(module):
        settings: dict[str, ast.expr] = {}
        if isinstance(node, ast.Call):
            settings = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            settings = {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
        if "paths" in settings:
            paths, stack = settings["paths"], settings.get("stack")
            yield _Found(_followed(paths, assigned), stack and _followed(stack, assigned))


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """The values of the names that a config assigns to at its top level."""
    return {
        target.id: statement.value
        for statement in body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _followed(value: ast.expr, assigned: dict[str, ast.expr]) -> ast.expr:
    return assigned.get(value.id, value) if isinstance(value, ast.Name) else value


def _genotype(neck: _Found, text: str, where: str) -> Genotype:
    here = f"{where}: line {neck.paths.lineno}: paths"
    if not isinstance(neck.paths, (ast.List, ast.Tuple)):
        raise InvalidGenotypeError(f"{here}: expected a list of names, but got {_quoted(neck.paths, text)}")
    paths = [
        _path(item, text, f"{where}: line {item.lineno}: paths[{place}]") for place, item in enumerate(neck.paths.elts)
    ]
    with errors_at(here):
        genotype = Genotype(tuple(paths))
    stack = neck.stack.value if isinstance(neck.stack, ast.Constant) else None
    if neck.stack is not None and stack != genotype.num_nodes:
        raise InvalidGenotypeError(
            f"{where}: line {neck.stack.lineno}: stack: {_quoted(neck.stack, text)} does not fit the "
            f"{len(paths)} paths, which make {genotype.num_nodes} nodes"
        )
    return genotype


def _path(item: ast.expr, text: str, where: str) -> PathType:
    name = item.value if isinstance(item, ast.Constant) else None
    if not isinstance(name, str):
        raise InvalidGenotypeError(f"{where}: expected a string, but got {_quoted(item, text)}")
    if name in _PATHS:
        return _PATHS[name]
    hint = suggestion(_MEANT.get(name, name), _PATHS)
    raise InvalidGenotypeError(f"{where}: {shown(name)} is not a path of the released model; {hint}")


def _quoted(value: ast.expr, text: str) -> str:
    """The part of the config's text: to unparse a deeply nested expression would fail."""
    return shown(" ".join((ast.get_source_segment(text, value) or "").split()))
