"""The exporters that are installed: ours, those of the entry-point group ``opanas.exporters``, all genotype formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from opanas_cli.errors import UsageError
from opanas_cli.exporters.exporter import OPTIONS, ExportedFile, Exporter
from opanas_cli.formats import dump_record
from opanas_cli.formats.registry import codecs
from opanas_cli.plug_ins import entry_points_of, load_plug_ins
from opanas_cli.suggestions import choice

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "opanas.exporters"

BUILT_IN = {
    "mmdet-config": "opanas_cli.exporters.mmdet_config:MMDET_CONFIG",
    "dot": "opanas_cli.exporters.graphs:DOT",
    "mermaid": "opanas_cli.exporters.graphs:MERMAID",
    "graphml": "opanas_cli.exporters.graphs:GRAPHML",
}


@lru_cache(maxsize=1)
def exporters() -> Mapping[str, Exporter]:
    """All exporters by name; a plug-in that is broken or claims a name already taken is skipped with a warning."""
    formats = {name: _of_format(name) for name, codec in codecs().items() if codec.dumps}
    return MappingProxyType({**formats, **load(entry_points_of(GROUP, BUILT_IN))})


def exporter_named(name: str) -> Exporter:
    """The exporter called `name`.

    Raises:
        UsageError: there is none.
    """
    if name not in exporters():
        known = sorted(exporters(), key=lambda known: known not in BUILT_IN)
        raise UsageError(f"--to: there is no format '{name}'; {choice(name, known)}")
    return exporters()[name]


def load(points: Iterable[EntryPoint]) -> dict[str, Exporter]:
    """The exporters behind entry points, without those that are broken or claim a name already taken."""
    return load_plug_ins(points, "exporter", _checked)


def _of_format(name: str) -> Exporter:
    return Exporter(name, lambda request: [ExportedFile(name, dump_record(request.record, name))])


def _checked(exporter: object, name: str, loaded: Mapping[str, Exporter]) -> Exporter:
    if not isinstance(exporter, Exporter):
        raise TypeError(f"an Exporter is needed, but got {exporter!r}")
    if exporter.name != name:
        raise ValueError(f"the exporter calls itself '{exporter.name}'")
    if not callable(exporter.files):
        raise TypeError(f"files must be a function, but got {exporter.files!r}")
    if not isinstance(exporter.options, frozenset) or not exporter.options <= OPTIONS:
        raise ValueError(f"options must be a frozenset of some of {', '.join(sorted(OPTIONS))}")
    if name in codecs() and name not in BUILT_IN:
        raise ValueError(f"the name '{name}' is that of a genotype format")
    return exporter
