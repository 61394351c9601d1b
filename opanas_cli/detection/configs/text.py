"""Configs as Python text: every value is a literal, and none is changed when mmengine reads the text again."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from keyword import iskeyword
from numbers import Integral, Number, Real
from pathlib import Path
from typing import Any

from mmengine.config import Config

from opanas_cli.errors import InvalidConfigError

WIDTH = 100

# Top-level objects of other types are helpers of a config file, not settings.
HELD = (type(None), str, bytes, Number, Mapping, list, tuple, set, os.PathLike)


class LiteralConfig(Config):
    """mmengine's Config, written by `config_text` wherever mmengine or mmdet ask for its text.

    In mmengine's own text, a value can become code: keys are not quoted, and ``{{…}}`` is substituted when it is read.
    Its formatter also catches every exception, KeyboardInterrupt among them.
    """

    @classmethod
    def of(cls, config: Config) -> LiteralConfig:
        """A Config as a LiteralConfig, with which it shares its values."""
        own = cls.__new__(cls)
        own.__setstate__(config.__getstate__())
        return own

    @property
    def pretty_text(self) -> str:
        """The text of a Python config file; raises InvalidConfigError if a value is not a literal."""
        return config_text(self)

    def dump(self, file: str | Path | None = None) -> str | None:
        """Write the Python text into a file, whose suffix becomes ``.py``, or return it if no file is given."""
        if file is None:
            return self.pretty_text
        Path(file).with_suffix(".py").write_text(self.pretty_text, encoding="utf-8")
        return None


def config_text(config: Config) -> str:
    """The text of a Python config file that mmengine reads as this config.

    Raises InvalidConfigError if a value is not a literal, or a name is not that of a Python variable.
    """
    held = {name: value for name, value in config.to_dict().items() if isinstance(value, HELD)}
    values = {name: _plain(value, name) for name, value in held.items()}
    for name in values:
        if not _is_name(name) or name == "dict":
            raise InvalidConfigError(
                f"{name!r:.60} is not a valid name for a setting of a Python config file; rename it"
            )
    text = "".join(f"{name} = {_literal(value, len(name) + 3)}\n" for name, value in sorted(values.items()))
    # Outside of a string there are never two, since a dict is never a key.
    return text.replace("{{", "{\\x7b")


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and key.isascii() and key.isidentifier() and not iskeyword(key) and key != "__debug__"


def _plain(value: Any, where: str) -> Any:
    """A value of Python's own types only; a class or a function by its name, by which mmengine finds it."""
    if isinstance(value, str):
        return str.__str__(value)  # Of an enumeration's member, too.
    if value is None or isinstance(value, (bool, bytes)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        kind = next(kind for kind in (list, tuple, set) if isinstance(value, kind))
        return kind(_plain(item, f"{where}[{index}]") for index, item in enumerate(value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '<')}"
    if "<" in name:
        raise InvalidConfigError(f"{where}: a config file cannot hold {value!r:.60}; write a number, a text or a list")
    return name


def _literal(value: Any, column: int, indent: int = 0) -> str:
    """The source of a plain value: in one line if it fits after `column`, else one entry per line."""
    if isinstance(value, dict):
        named = all(map(_is_name, value))
        left, right = ("dict(", ")") if named else ("{", "}")
        entries = sorted(value.items(), key=lambda entry: str(entry[0]))
        parts = [(f"{key}=" if named else f"{key!r}: ", item) for key, item in entries]
    elif isinstance(value, (list, tuple)):
        left, right = "[]" if isinstance(value, list) else "()"
        parts = [("", item) for item in value]
    else:
        return f"float('{value}')" if isinstance(value, float) and not math.isfinite(value) else repr(value)
    deeper = indent + 4
    sources = [f"{key}{_literal(item, deeper + len(key) + 1, deeper)}" for key, item in parts]
    line = left + ", ".join(sources) + ("," if left == "(" and len(parts) == 1 else "") + right
    if "\n" not in line and column + len(line) <= WIDTH:
        return line
    return f"{left}\n" + "".join(f"{' ' * deeper}{source},\n" for source in sources) + " " * indent + right
