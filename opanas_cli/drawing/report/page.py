"""The page: its sections in order, what is missing or cannot be read, and the style and script that it brings along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from opanas_cli.drawing.report import of_search as search
from opanas_cli.drawing.report import of_trainings as trainings
from opanas_cli.drawing.report.markup import Html, code, element, folded, paragraph, table
from opanas_cli.drawing.report.work_dir import FILES, SUPER_NET_LOG, WorkDir


class Section(NamedTuple):
    """A part of the page; `show` gives None if there is nothing to show, as long as `source` is not there."""

    title: str
    show: Callable[[WorkDir], Html | None]
    source: str
    command: str


SECTIONS = (
    Section("Comparison", trainings.comparison, "comparison.json", "opanas compare"),
    Section("Retrained detectors", trainings.retrained, "retrain", "opanas retrain"),
    Section("Best genotypes", search.best, "history.jsonl", "opanas evolve"),
    Section("Candidates", search.candidates, "history.jsonl", "opanas evolve"),
    Section("Finalists", trainings.finalists, "finalists.jsonl", "opanas evolve --finalists"),
    Section("Fitness by generation", search.fitness, "history.jsonl", "opanas evolve"),
    Section("Paths on each edge", search.paths, "history.jsonl", "opanas evolve"),
    Section("Training of the super-net", trainings.losses, SUPER_NET_LOG, "opanas train-supernet"),
    Section("Edge importances", trainings.importances, SUPER_NET_LOG, "opanas train-supernet"),
    Section("Ranking of the super-net", trainings.correlation, "correlation.json", "opanas correlate"),
    Section("Time and memory", trainings.times, "a log", "opanas train-supernet, retrain, search"),
    Section("What was searched", search.settings, "history.jsonl", "opanas evolve"),
    Section("Config and versions", trainings.config, SUPER_NET_LOG, "opanas train-supernet"),
)
"""In the order of the page: what came out first, then how it came about."""

ICON = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"
"""An empty one, as browsers would look for another beside the page."""


def to_page(found: WorkDir, reload_seconds: int | None = None) -> str:
    """One HTML document that loads nothing from elsewhere.

    Args:
        reload_seconds: how often the page loads itself again; None is never.
    """
    shown = [(section, content) for section in SECTIONS if (content := _shown(section, found))]
    links = (element("a", section.title, href=f"#{_id(section)}") for section, _ in shown)
    title = f"{found.folder.resolve().name or found.folder}: report of opanas"
    body = [
        element("header", element("h1", title), paragraph(code(found.folder))),
        element("nav", *links, aria_label="Sections"),
        element("main", _summary(found), *(part for _, part in shown), _not_yet([section for section, _ in shown])),
    ]
    return whole_page(title, body, reload_seconds)


def whole_page(title: str, body: Sequence[Html], reload_seconds: int | None = None) -> str:
    """A document with its style and the script by which marks answer to pointer and keyboard; it loads nothing."""
    tip = element("div", id="tip", role="status", hidden="hidden")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="{ICON}">
{element("title", title)}
{_shipped("style", "page.css")}
</head>
{element("body", *body, tip, _shipped("script", "page.js"), data_reload=reload_seconds)}
</html>
"""


def _shipped(name: str, file: str) -> Html:
    return element(name, Html(Path(__file__).with_name(file).read_text(encoding="utf-8")))


def _id(section: Section) -> str:
    return section.title.lower().replace(" ", "-")


def _guarded(show: Callable[[WorkDir], Html | None], found: WorkDir, source: str) -> Html | None:
    """What there is to show, or why it cannot be."""
    try:
        return show(found)
    except Exception as error:  # Files may hold anything, and the rest of the page is still of use.
        reason = f"{type(error).__name__}: {error}"
        return paragraph(f"Cannot be shown: {source} does not hold what it should ({reason}).", kind="problem")


def _shown(section: Section, found: WorkDir) -> Html | None:
    content = _guarded(section.show, found, section.source)
    if content is None and section.source in found.problems:
        content = paragraph(f"{section.source} cannot be read: {found.problems[section.source]}", kind="problem")
    return element("section", element("h2", section.title), content, id=_id(section)) if content else None


def _not_yet(shown: Sequence[Section]) -> Html:
    """What the page would show if its file were there, and what writes that."""
    rest = [section for section in SECTIONS if section not in shown]
    items = (element("li", f"{section.title}: of {section.source}, by {section.command}") for section in rest)
    content = element("h2", "Not there yet"), element("ul", *items)
    return element("section", *content, id="not-there-yet", class_="missing") if rest else Html()


def _summary(found: WorkDir) -> Html:
    """How far each stage is, which files there are, and what cannot be read."""
    parts = [_guarded(trainings.progress, found, SUPER_NET_LOG), _guarded(search.progress, found, "history.jsonl")]
    if found.problems:
        problems = (element("li", code(name), f": {why}") for name, why in found.problems.items())
        parts.append(paragraph("Cannot be read, or only in part:", kind="problem"))
        parts.append(element("ul", *problems, class_="problem"))
    state = dict.fromkeys(found.missing, "not there yet") | dict.fromkeys(found.problems, "broken")
    rows = ([code(name), state.get(name, "there"), command] for name, (command, _) in FILES.items())
    parts.append(folded("Files", table(["file", "", "written by"], rows)))
    return element("section", *(part for part in parts if part), id="summary")
