import re
from html.parser import HTMLParser

from opanas_cli.drawing import Diagram
from opanas_cli.drawing.page import to_html
from opanas_cli.genotype import Genotype

VOID = {"meta", "br", "link", "img"}


class Balance(HTMLParser):
    """Fails on a tag that closes another one than was opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing(opa: Genotype, chain: Genotype) -> None:
    page = to_html([Diagram.of(opa, "one"), Diagram.of(chain, "two")])
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert page.count("<svg") == 2
    assert not re.search(r'(src|href)="(?!#|data:)|@import|url\((?!#)|<script src', page)


def test_the_equations_follow_the_figure(opa: Genotype, half_dead: Genotype) -> None:
    text = re.sub("<[^>]+>", "", to_html([Diagram.of(opa), Diagram.of(half_dead)]))
    assert "x4= BU(P) + skip(x1) + TD(x3)" in text
    assert "O= x1 + x2 + x3 + x4 + x5" in text
    assert "x2= 0, dead" in text


def test_a_title_is_text_and_not_markup(chain: Genotype) -> None:
    page = to_html([Diagram.of(chain, '<script>alert("1")</script>')])
    assert page.count("<script") == 1  # The page's own.
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_the_same_genotype_gives_the_same_page(opa: Genotype) -> None:
    assert to_html([Diagram.of(opa, "opa")]) == to_html([Diagram.of(opa, "opa")])
