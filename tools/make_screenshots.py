"""Screenshots of the studio and of the exported page for the documents.

    python -m tools.make_screenshots                 the pictures of docs/how-to
    python -m tools.make_screenshots --every DIR     every screen in every size, light and dark, to look at

Needs chromium and playwright. ``--folder`` should have a run for the page Train. ``--every DIR --file evaluation.html``
takes any page of a file, a report or one of the built documents.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from kaogan.share.export import export_web

DOCS = Path(__file__).resolve().parents[1] / "docs" / "how-to"
WIDTHS = {390: 844, 1366: 900, 1920: 1080}  # px, with the height of the window
MODEL = "kao"
# name -> (address, element that is there when the screen is complete)
STUDIO = {
    "studio": (f"?model={MODEL}&seed=7&face=7.3&from=face%3D7.3&to=face%3D7.10", "#sliders img"),
    "studio-pictures": ("?page=pictures", "#pictures:not([hidden])"),
    "studio-train": ("?page=train", "#train:not([hidden])"),
    "studio-evaluate": (f"?page=evaluate&model={MODEL}", "#evaluate:not([hidden])"),
}
PAGE = {"page": ("#seed=7&n=3", "html[data-backend] #grid button:nth-child(24)")}
IN_DOCS = {"studio": 1366, "page": 1366}


@contextlib.contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The address of a studio that shows ``folder``."""
    call = [sys.executable, "-u", "-m", "kaogan", "studio", str(folder), "--port", "0"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+/", process.stdout.readline())
        if found is None:
            raise SystemExit("the studio did not start")
        yield found[0]
        process.terminate()


def shoot(browser: Any, url: str, ready: str, width: int, scheme: str) -> Image.Image:
    """The whole page behind ``url``, in a window of ``width``."""
    context = browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(url, timeout=120_000)
    page.wait_for_selector(ready, state="attached", timeout=120_000)
    page.wait_for_timeout(5000)  # enlarged faces arrive one after another
    picture = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
    context.close()
    return picture


def main(given: argparse.Namespace) -> None:
    chromium = os.environ.get("KAOGAN_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        stack.callback(browser.close)
        wanted = given.only or ([] if given.file else [*STUDIO, *PAGE] if given.every else [*IN_DOCS])
        screens = {path.stem: (path.resolve().as_uri(), "body") for path in given.file}
        if not STUDIO.keys().isdisjoint(wanted):
            address = stack.enter_context(studio(given.folder or scratch))
            screens |= {name: (address + query, ready) for name, (query, ready) in STUDIO.items() if name in wanted}
        if not PAGE.keys().isdisjoint(wanted):
            page = export_web(MODEL, scratch / "page.html", single_file=True)
            screens |= {name: (page.as_uri() + query, ready) for name, (query, ready) in PAGE.items()}
        for name, (url, ready) in screens.items():
            if given.every is None:
                shoot(browser, url, ready, IN_DOCS[name], "light").save(DOCS / f"{name}.webp", quality=80, method=6)
                continue
            given.every.mkdir(parents=True, exist_ok=True)
            for width in given.width or WIDTHS:
                for scheme in given.scheme or ("light", "dark"):
                    shoot(browser, url, ready, width, scheme).save(given.every / f"{name}-{width}-{scheme}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--every", type=Path, metavar="DIR", help="screens to look at, instead of those of the documents"
    )
    parser.add_argument("--folder", type=Path, metavar="RUNS", help="what the studio shows")
    parser.add_argument("--only", nargs="+", default=[], choices=[*STUDIO, *PAGE], help="these screens")
    parser.add_argument("--width", nargs="+", type=int, choices=WIDTHS, help="in these widths, px")
    parser.add_argument("--scheme", nargs="+", choices=["light", "dark"])
    parser.add_argument("--file", nargs="+", type=Path, default=[], metavar="FILE.html", help="these pages as well")
    given = parser.parse_args()
    if given.every is None and (given.file or not IN_DOCS.keys() >= set(given.only)):
        parser.error(f"the documents have {' and '.join(IN_DOCS)}; name a folder for other screens with --every DIR")
    main(given)
