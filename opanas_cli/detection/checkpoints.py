"""Checkpoints, read without running anything they hold and written whole."""

from __future__ import annotations

import hashlib
import io
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from opanas_cli.atomic import replacing
from opanas_cli.detection.quiet import instead
from opanas_cli.errors import InvalidCheckpointError
from opanas_cli.regular_files import open_regular, require_regular

_torch_load = torch.load


class BrokenCheckpointError(InvalidCheckpointError):
    """A file differs from what was written."""


def read_checkpoint(path: Path, map_location: Any = "cpu", ours: bool = False) -> dict[str, Any]:
    """A checkpoint file as a dict; only tensors and plain data are read, never code.

    What is `ours` is a zip, as torch writes it; others may be of the format before, which has no checksums.

    Raises BrokenCheckpointError if it is truncated or damaged, InvalidCheckpointError if it is missing, holds anything
    else, or is not a dict.
    """
    try:
        require_regular(path)
    except FileNotFoundError as error:
        raise InvalidCheckpointError(f"{path}: no such checkpoint") from error
    except OSError as error:
        raise BrokenCheckpointError(f"{path}: cannot be read ({error.strerror}); give a checkpoint file") from error
    _require_whole(path, ours)
    return _loaded(path, path, map_location)


def _require_whole(path: Path, ours: bool) -> None:
    """Compare all of a zip with its checksums: torch loads the bytes of a tensor unchecked."""
    with open_regular(path) as file:
        if not ours and file.read(2) != b"PK":
            return
        try:
            with ZipFile(file) as archive:
                damaged = archive.testzip()
        except Exception as error:  # By what is damaged, zipfile raises one of many.
            raise BrokenCheckpointError(f"{path}: is truncated or not a checkpoint; take another") from error
    if damaged is not None:
        raise BrokenCheckpointError(f"{path}: is damaged at {damaged} (checksum mismatch); take another")


def _loaded(source: Any, file: Any, map_location: Any) -> dict[str, Any]:
    """The content of a regular or open file; errors as of `read_checkpoint`, which name its source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = _torch_load(file, map_location=map_location, weights_only=True)
        odd = next((leaf for leaf in leaves(content) if isinstance(leaf, torch.Tensor) and not _has_values(leaf)), None)
    except Exception as error:
        if _is_refusal(error):
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            what = f"holds more than tensors and plain data ({named[1] if named else 'unsafe objects'})"
            raise InvalidCheckpointError(
                f"{source}: {what}, and is not loaded for safety; use a file written by opanas, or state_dict()s only"
            ) from error
        raise BrokenCheckpointError(f"{source}: is truncated or not a checkpoint; take another") from error
    if odd is not None:
        raise InvalidCheckpointError(
            f"{source}: holds a tensor without values or of the layout {odd.layout}; use others"
        )
    if not isinstance(content, dict):
        raise InvalidCheckpointError(f"{source}: is not a checkpoint: it holds a {type(content).__name__}, not a dict")
    return content


def _has_values(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_quantized


def leaves(value: Any) -> Iterator[Any]:
    """All keys and values in nested dicts, lists and tuples."""
    if not isinstance(value, (dict, list, tuple)):
        yield value
        return
    for part in chain(value, value.values()) if isinstance(value, dict) else value:
        yield from leaves(part)


def holds_tensors(value: Any) -> bool:
    """Whether a tensor is in what must be plain data."""
    return any(isinstance(leaf, torch.Tensor) for leaf in leaves(value))


def are_numbers(values: Any) -> bool:
    """Whether it is a list of plain numbers, and no tensors."""
    return isinstance(values, list) and all(type(value) in (int, float) for value in values)


def are_watched(rows: Any) -> bool:
    """Whether it is what a `WatchHook` keeps: rows of numbers with equal names, two of them ``epoch`` and ``step``."""
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and list(row)[:-1] == ["epoch", "step"]
        and row.keys() == rows[0].keys()
        and are_numbers(list(row.values()))
        for row in rows
    )


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all; raise OpanasError if it cannot be written.

    The same content gives the same bytes, whatever the file's name.
    """
    # Through memory: torch writes a file's name into it, and does not report a full disk as an OSError.
    written = io.BytesIO()
    torch.save(_canonical(content), written)
    with replacing(path) as temporary:
        temporary.write_bytes(written.getbuffer())


def _canonical(value: Any) -> Any:
    """The same plain data in which equal texts are one object and no container is shared.

    Pickle writes an object that occurs again as a reference, so what was read from a file, in which each text is an
    object of its own, would be written in other bytes than what was just made.
    """
    if type(value) is dict:
        return {_canonical(key): _canonical(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_canonical, value))
    return sys.intern(value) if type(value) is str else value


def load_weights(model: nn.Module, state: Any, source: Path) -> None:
    """Load weights, or raise InvalidCheckpointError as `require_fit`."""
    require_fit(model, state, source)
    model.load_state_dict(state)


def tensors_of(state: Any, source: Path) -> dict[str, torch.Tensor]:
    """The state of a network as it was read; InvalidCheckpointError if it is not a dict of tensors by name."""
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise InvalidCheckpointError(f"{source}: has no state_dict of tensors")
    return state


def require_fit(model: nn.Module, state: Any, source: Path) -> None:
    """Raise InvalidCheckpointError, with the first difference, unless weights have a network's names and shapes."""
    tensors_of(state, source)
    own = model.state_dict()
    missing, extra = [key for key in own if key not in state], [key for key in state if key not in own]
    other = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or extra or other:
        first = (
            f"'{other[0]}' has shape {tuple(state[other[0]].shape)} instead of {tuple(own[other[0]].shape)}"
            if other
            else f"'{missing[0]}' is missing"
            if missing
            else f"'{extra[0]}' is not in the config's network"
        )
        raise InvalidCheckpointError(
            f"{source}: does not match the config's network: {first} "
            f"({len(missing)} missing, {len(extra)} unexpected, {len(other)} of another shape)"
        )


def fingerprint(*paths: Path, names: Sequence[str] = ()) -> str:
    """The SHA-256 of a file, in hex; of several files, or of `names` beside them, that of their fingerprints."""
    if len(paths) != 1 or names:
        digest = hashlib.sha256("\n".join(names).encode(errors="surrogateescape"))
        for path in paths:
            digest.update(fingerprint(path).encode())
        return digest.hexdigest()
    digest = hashlib.sha256()
    with open_regular(paths[0]) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@cache
def refuse_unsafe_checkpoints() -> None:
    """Make mmengine read checkpoints as `read_checkpoint` does, downloads too: its own reading may run their code."""
    of_mmengine = CheckpointLoader.load_checkpoint

    def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
        return read_checkpoint(Path(filename).expanduser(), map_location)

    def load_checkpoint(filename: str, map_location: Any = None, logger: Any = "current") -> dict[str, Any]:
        # The loaders of all schemes end in torch.load.
        with instead(torch, "load", lambda file, map_location=None, **_: _loaded(filename, file, map_location)):
            return of_mmengine(filename, map_location, logger)

    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
    CheckpointLoader.load_checkpoint = staticmethod(load_checkpoint)


def _is_refusal(error: Exception) -> bool:
    return "weights_only" in str(error).lower() or "weights only" in str(error).lower()
