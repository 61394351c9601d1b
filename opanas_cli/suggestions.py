"""Suggestions for misspelt names, worded alike in all messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def suggestion(name: str, known: Collection[str], otherwise: str = "") -> str:
    """A question with the known name closest to a misspelt one; without one `otherwise`, by default all known names."""
    close = difflib.get_close_matches(name[:64], known, n=1)
    return f"did you mean '{close[0]}'?" if close else otherwise or f"choose one of {', '.join(known)}"


def choice(name: str, known: Collection[str]) -> str:
    """The same, followed by all known names, which must be in lower case."""
    asked = suggestion(name.lower(), known, "choose")
    return f"{asked.replace('?', '? Choose')} one of {', '.join(known)}"
