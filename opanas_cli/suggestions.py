"""What a misspelt name may have meant, in the words of all messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def suggestion(name: str, known: Collection[str], otherwise: str = "") -> str:
    """The known name closest to a misspelt one as a question, or `otherwise`: by default all there are."""
    close = difflib.get_close_matches(name[:64], known, n=1)
    return f"did you mean '{close[0]}'?" if close else otherwise or f"choose one of {', '.join(known)}"


def choice(name: str, known: Collection[str]) -> str:
    """The same before all known names, which are in lower case."""
    asked = suggestion(name.lower(), known, "choose")
    return f"{asked.replace('?', '? Choose')} one of {', '.join(known)}"
