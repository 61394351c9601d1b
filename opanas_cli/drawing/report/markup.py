"""HTML and SVG as text in which everything that comes from files is escaped and bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice
from typing import Any, TypeGuard

from opanas_cli.search.cost import format_quantity

LONGEST_TEXT = 1000
"""Characters of one piece of text; its middle is left out if it is longer."""
MOST_ROWS = 5000
"""Of a table, and marks of one kind in a chart: the first ones are shown."""

DASH = "–"


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


def cell(value: object) -> Html:
    """Text as it is; a number in four digits or with a suffix such as G, and also unrounded; else a dash."""
    if is_number(value):
        if isinstance(value, float):
            text = f"{value:.4f}" if 0.001 <= abs(value) < 1 else f"{value:.4g}"
        else:
            text = format_quantity(value) if value >= 10_000 else str(value)
        return element("data", text, value=str(value))
    return joined([value if isinstance(value, str) else DASH if value is None else str(value)])


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number that can be drawn."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def entry(document: object, *keys: str) -> Any:
    """What nested objects of JSON hold under keys; None if they do not."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def table(head: Sequence[str], rows: Iterable[Sequence[object]], ids: Iterable[str] = ()) -> Html:
    """A table of texts, markup and numbers; `ids` are those of the rows."""
    names, shown = iter(ids), islice(rows, MOST_ROWS)
    body = (element("tr", *(element("td", cell(value)) for value in row), id=next(names, None)) for row in shown)
    titles = [element("tr", *(element("th", title, scope="col") for title in head))] if head else []
    parts = element("thead", *titles), element("tbody", *body)
    return element("div", element("table", *parts), class_="wide", tabindex=0)


def facts(rows: Mapping[str, object]) -> Html:
    """What is known of some things, by their names; those of which nothing is known are left out."""
    known = ([name, str(what)] for name, what in rows.items() if what not in (None, "", [], {}))
    return element("div", table([], known), class_="facts")


def folded(summary: str, *children: str) -> Html:
    """What is shown once its summary is opened."""
    return element("details", element("summary", summary), *children)


def paragraph(*children: str, kind: str | None = None) -> Html:
    """A paragraph, of a class."""
    return element("p", *children, class_=kind)


def code(text: object) -> Html:
    """Text as code, such as a genotype in one line."""
    return element("code", str(text))
