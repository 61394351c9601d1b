"""Formats of genotypes, and those that are installed: found through the entry points ``opanas.genotype_formats``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype import Genotype
from opanas_cli.plug_ins import entry_points_of, load_plug_ins

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True, slots=True)
class GenotypeRecord:
    """A genotype and what is known about it: fitness, cost, provenance."""

    genotype: Genotype
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Codec:
    """One format, registered under the entry-point group ``opanas.genotype_formats``.

    `loads(text, where)` reads the text of a file; `where` names the file and begins every error message. It raises
    InvalidGenotypeError. `dumps(record)` gives the text of a file, or raises InvalidGenotypeError where the format
    cannot say it. Either is None when the format cannot be read, or written.
    """

    name: str
    suffixes: tuple[str, ...]
    loads: Callable[[str, str], GenotypeRecord] | None = None
    dumps: Callable[[GenotypeRecord], str] | None = None


@contextmanager
def errors_at(where: str) -> Iterator[None]:
    """While the block runs, messages of InvalidGenotypeError begin with `where`."""
    try:
        yield
    except InvalidGenotypeError as error:
        raise InvalidGenotypeError(f"{where}: {error}") from None


GROUP = "opanas.genotype_formats"

BUILT_IN = {
    "json": "opanas_cli.formats.json_format:JSON",
    "released": "opanas_cli.formats.released:RELEASED",
    "text": "opanas_cli.formats.text:TEXT",
}
"""Ours need no entry points, so they work in a source tree that is not installed."""


@lru_cache(maxsize=1)
def codecs() -> Mapping[str, Codec]:
    """The installed formats by name, built-in ones first.

    A plug-in that is broken, or that claims a name or a suffix already taken, is named in a warning and skipped.
    """
    return MappingProxyType(load(entry_points_of(GROUP, BUILT_IN)))


def codec_named(name: str) -> Codec:
    """The format called `name`.

    Raises:
        InvalidGenotypeError: there is none.
    """
    if name in codecs():
        return codecs()[name]
    raise InvalidGenotypeError(f"there is no genotype format '{name}'; choose one of {', '.join(codecs())}")


def codec_for_path(path: Path) -> Codec:
    """The format that the suffix of a file says.

    Raises:
        InvalidGenotypeError: no format has the suffix.
    """
    for codec in codecs().values():
        if path.suffix.lower() in codec.suffixes:
            return codec
    suffixes = ", ".join(suffix for codec in codecs().values() for suffix in codec.suffixes)
    raise InvalidGenotypeError(
        f"{path}: no genotype format has the suffix '{path.suffix}'; use one of {suffixes}, "
        f"or say which of the formats {', '.join(codecs())} it is"
    )


def load(points: Iterable[EntryPoint]) -> dict[str, Codec]:
    """The codecs behind entry points, without those that are broken or clash with an earlier one."""
    return load_plug_ins(points, "genotype format", _checked)


def _checked(codec: object, name: str, loaded: Mapping[str, Codec]) -> Codec:
    if not isinstance(codec, Codec):
        raise TypeError(f"a Codec is needed, but got {codec!r}")
    if codec.name != name:
        raise ValueError(f"the codec calls itself '{codec.name}'")
    if not all(suffix.startswith(".") and suffix == suffix.lower() for suffix in codec.suffixes):
        raise ValueError(f"suffixes are lower-case and begin with a dot, but got {codec.suffixes}")
    for other in loaded.values():
        for suffix in codec.suffixes:
            if suffix in other.suffixes:
                raise ValueError(f"the suffix '{suffix}' is taken by '{other.name}'")
    return codec
