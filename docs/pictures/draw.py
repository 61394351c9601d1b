"""The drawings of genotypes in the README and the pages, as `opanas viz` makes them.

python docs/pictures/draw.py [FOLDER]
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from opanas_cli.commands import run

PICTURES = {
    "opa-fpn.svg": ["opa-fpn"],
    "chains.svg": ["fpn", "panet", "sepc"],
    "difference.svg": ["opa-fpn", "other.txt", "--diff"],
}
OTHER = "td|td,none|fs,none,skip|bu,se,none,td|bu,none,fs,td,none"
"""OPA-FPN with another path on four edges."""


def draw_pictures(folder: Path) -> None:
    """Draw all pictures into an existing folder."""
    with TemporaryDirectory() as temporary:
        other = Path(temporary) / "other.txt"
        other.write_text(OTHER, encoding="utf-8")
        for name, arguments in PICTURES.items():
            given = [str(other) if argument == other.name else argument for argument in arguments]
            code = run(["viz", *given, "-o", str(folder / name), "-q"])
            if code:
                raise SystemExit(code)


if __name__ == "__main__":
    draw_pictures(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
