"""The formats that are installed, found through the entry-point group ``opanas.genotype_formats``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.codec import Codec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "opanas.genotype_formats"

BUILT_IN = {
    "json": "opanas_cli.formats.json_format:JSON",
    "released": "opanas_cli.formats.released:RELEASED",
    "text": "opanas_cli.formats.text:TEXT",
}
"""Registered in our own package metadata too; said here so that they come first, and work where that is missing."""


@lru_cache(maxsize=1)
def codecs() -> Mapping[str, Codec]:
    """The installed formats by name, built-in ones first.

    A plug-in that is broken, or that claims a name or a suffix already taken, is named in a warning and skipped.
    """
    return MappingProxyType(load(_entry_points()))


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
    loaded: dict[str, Codec] = {}
    for point in points:
        try:
            codec = _checked(point.load(), point.name)
            _check_clash(codec, loaded)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            message = f"the genotype format '{point.name}' ({point.value}) is skipped: {reason}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        else:
            loaded[codec.name] = codec
    return loaded


def _entry_points() -> Iterator[EntryPoint]:
    from importlib.metadata import EntryPoint, entry_points

    built_in = [EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()]
    yield from built_in
    seen = {(point.name, point.value) for point in built_in}
    for point in entry_points(group=GROUP):
        # An editable installation may show its own metadata twice.
        if (point.name, point.value) not in seen:
            seen.add((point.name, point.value))
            yield point


def _checked(codec: object, name: str) -> Codec:
    if not isinstance(codec, Codec):
        raise TypeError(f"a Codec is needed, but got {codec!r}")
    if codec.name != name:
        raise ValueError(f"the codec calls itself '{codec.name}'")
    if not all(suffix.startswith(".") and suffix == suffix.lower() for suffix in codec.suffixes):
        raise ValueError(f"suffixes are lower-case and begin with a dot, but got {codec.suffixes}")
    return codec


def _check_clash(codec: Codec, loaded: Mapping[str, Codec]) -> None:
    for other in loaded.values():
        if codec.name == other.name:
            raise ValueError(f"the name '{codec.name}' is taken")
        for suffix in codec.suffixes:
            if suffix in other.suffixes:
                raise ValueError(f"the suffix '{suffix}' is taken by '{other.name}'")
