"""HTML and SVG as text in which everything that comes from files is escaped and bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from opanas_cli.search.cost import format_quantity

LONGEST_TEXT = 400
"""Characters of one piece of text; its middle is left out if it is longer."""


class Html(str):
    """Markup. Plain text that becomes part of an element is escaped, markup is not."""


def element(name: str, *children: str, **attributes: object) -> Html:
    """An element. Attributes that are None are left out; an underscore in a name means a hyphen, or nothing at its end.

    Those that are fractions, lengths of a drawing, are rounded to two digits; those that are `Html` may be long.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Html:
    """Pieces of markup and of text, one after another."""
    return Html("".join(child if isinstance(child, Html) else escape(printable(child)) for child in children))


def printable(text: str) -> str:
    """Text of bounded length, in which characters that cannot be printed are replaced."""
    if len(text) > LONGEST_TEXT:
        text = f"{text[: LONGEST_TEXT // 2]} … {text[-LONGEST_TEXT // 2 :]}"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _attribute(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return value if isinstance(value, Html) else printable(str(value))


def figure(value: object, digits: int = 4) -> Html:
    """A number with so many decimals, or a dash if there is none; the page holds it unrounded too."""
    if not is_number(value):
        return Html("–")
    return element("data", f"{value:.{digits}f}" if isinstance(value, float) else f"{value:,}", value=repr(value))


def quantity(value: object) -> Html:
    """A whole number with a suffix, such as 199.2G; the page holds it in full too."""
    return element("data", format_quantity(int(value)), value=str(value)) if is_number(value) and value else Html("–")


def is_number(value: object) -> bool:
    """Whether it is a finite number that can be drawn."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def seconds(value: object) -> Html:
    """A duration as ``1 h 02 min``, ``3 min 20 s`` or ``12.3 s``."""
    if not is_number(value):
        return Html("–")
    whole = int(value)
    text = f"{value:.1f} s"
    if whole >= 3600:
        text = f"{whole // 3600} h {whole % 3600 // 60:02} min"
    elif whole >= 60:
        text = f"{whole // 60} min {whole % 60:02} s"
    return element("data", text, value=repr(value))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], ids: Iterable[str | None] = ()) -> Html:
    """A table whose cells are text or markup; `ids` are those of the rows."""
    names = iter(ids)
    body = joined(element("tr", *(element("td", cell) for cell in row), id=next(names, None)) for row in rows)
    titles = element("tr", *(element("th", title, scope="col") for title in head))
    return element("div", element("table", element("thead", titles), element("tbody", body)), class_="wide")


def facts(rows: Mapping[str, object]) -> Html:
    """A table of two columns, a name and what is known; what is None or empty is left out."""
    known = [(name, what if isinstance(what, str) else str(what)) for name, what in rows.items() if what or what == 0]
    pairs = (element("tr", element("th", name, scope="row"), element("td", what)) for name, what in known)
    return element("div", element("table", element("tbody", *pairs), class_="facts"), class_="wide")


def folded(summary: str, *children: str) -> Html:
    """What is shown once its summary is opened."""
    return element("details", element("summary", summary), *children)


def paragraph(*children: str, kind: str | None = None) -> Html:
    """A paragraph, of a class."""
    return element("p", *children, class_=kind)


def entry(document: object, *keys: str) -> Any:
    """What nested objects of JSON hold under keys; None if they do not."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def mean(values: Sequence[float]) -> float:
    """The mean of at least one number."""
    return math.fsum(values) / len(values)
