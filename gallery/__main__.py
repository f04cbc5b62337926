"""`make gallery`: every page and every mail as a picture, and a page that shows all.

Nothing has to run for it: pages and mails are rendered from the examples that the tests
read, and a Chromium of this machine takes the pictures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser

from gallery.camera import WIDTHS, NoChromium, chromium, take_pictures, take_sheet
from gallery.exhibits import Exhibit, exhibits
from gallery.sheets import docs_page, index_page, sheet_page, sheet_width

REPOSITORY = Path(__file__).parents[1]
DOCS_PAGE = REPOSITORY / "docs" / "every-state.md"
_OUT = REPOSITORY / ".holdfast" / "gallery"


def write_docs(browser: Browser, shown: tuple[Exhibit, ...], out: Path) -> None:
    """Write the page of the docs and its contact sheets, from pictures in a folder."""
    for width in WIDTHS:
        page = out / f"contact-sheet-{width}.html"
        page.write_text(sheet_page(shown, width))
        picture = DOCS_PAGE.parent / "images" / f"contact-sheet-{width}.png"
        take_sheet(browser, page, picture, sheet_width(width))
    DOCS_PAGE.write_text(docs_page(shown))


def main(arguments: list[str] | None = None) -> int:
    """Write the gallery; exit code 1 where no browser can take the pictures."""
    parser = argparse.ArgumentParser(prog="make gallery", description=__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=_OUT,
        metavar="FOLDER",
        help="where the pictures go (default .holdfast/gallery)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="show these alone, such as pages/unknown mails/receipt",
    )
    parser.add_argument(
        "--docs",
        action="store_true",
        help="write docs/every-state.md and its contact sheets too",
    )
    asked = parser.parse_args(arguments)
    if asked.docs and asked.only:
        parser.error("--docs shows every state; leave --only away")
    shown = exhibits()
    if asked.only:
        shown = tuple(e for e in shown if f"{e.family}/{e.name}" in asked.only)
        if len(shown) < len(set(asked.only)):
            parser.error("--only: there is no exhibit of one of these names")
    return _write(shown, asked.out.resolve(), with_docs=asked.docs)


def _write(shown: tuple[Exhibit, ...], out: Path, *, with_docs: bool) -> int:
    out.mkdir(parents=True, exist_ok=True)
    try:
        with chromium() as browser:
            take_pictures(browser, shown, out)
            if with_docs:
                write_docs(browser, shown, out)
    except NoChromium as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    (out / "index.html").write_text(index_page(shown, out))
    sys.stdout.write(f"{len(shown)} pages and mails: {out / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
