"""How fast a page of ``kaogan export --to web`` is in a headless Chromium: the first face, and faces a second.

    python -m benchmarks.page docs/gallery/models/acgan [--visits 5] [--faces 40] [--folder PAGE]

Seconds count from the address to the first face; beside them, for machines with other work, the processor time of all
of Chromium's processes meanwhile. "warm" are reloads in the same profile: the service worker and the cache of the first
visit are there, the program itself runs already.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import sync_playwright

from kaogan.share.export import export_web

CHROMIUM = "/usr/bin/chromium"
FIRST = "() => performance.getEntriesByName('first face')[0].startTime / 1000"
DRAW = """async (count) => {
  const began = performance.now();
  for (let number = 0; number < count; number++) {
    await kaogan.engine.draw(kaogan.toVector(kaogan.model, { ...kaogan.face(), number }));
  }
  return (performance.now() - began) / 1000;
}"""
ENLARGE = """async (scale) => {
  const vector = kaogan.toVector(kaogan.model, kaogan.face());
  const times = [];
  for (let run = 0; run < 4; run++) {
    const began = performance.now();
    await kaogan.engine.draw(vector, scale);
    times.push((performance.now() - began) / 1000);
  }
  return times;
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def children() -> set[int]:
    """All processes below this one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found, more = set(), {os.getpid()}
    while more:
        more = {process for process, parent in parents.items() if parent in more} - found
        found |= more
    return found


def processor_seconds() -> float:
    total = 0.0
    for process in children():
        try:
            words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def visit(page: Any, address: str | None) -> tuple[float, float]:
    """Seconds and processor seconds from the address (None: again) to the first face."""
    before = processor_seconds()
    page.goto(address) if address else page.reload()
    page.wait_for_selector("html[data-backend]", state="attached", timeout=120_000)
    return page.evaluate(FIRST), processor_seconds() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--faces", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="a page that is there already")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = given.folder or export_web(given.model, Path(scratch) / "page")
        size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
        print(f"page {size / 1e6:.1f} MB, load of the machine {os.getloadavg()[0]:.1f}")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        with served(folder) as address:
            print("first visit: {:.2f} s, {:.2f} s of processor time".format(*visit(page, address)))
            page.evaluate("() => navigator.serviceWorker.ready.then(() => 0)")
            time.sleep(2)  # what is kept for later is written behind the first face
            warm = [visit(page, None) for _ in range(given.visits)]
            clock, processor = (statistics.median(column) for column in zip(*warm, strict=True))
            shown = ", ".join(f"{seconds:.2f}" for seconds, _ in warm)
            print(f"warm: median {clock:.2f} s ({shown}), {processor:.2f} s of processor time")
            time.sleep(1)
            before = processor_seconds()
            seconds = page.evaluate(DRAW, given.faces)
            spent = processor_seconds() - before
            print(f"{given.faces / seconds:.1f} faces/s, {1000 * spent / given.faces:.1f} ms of processor time a face")
            for scale in page.evaluate("() => kaogan.model.upscalers.map((each) => each.scale)"):
                first, *others = page.evaluate(ENLARGE, scale)
                print(f"×{scale}: first {first:.2f} s, then {statistics.median(others):.2f} s")
            print(page.inner_text("#status"))
        browser.close()


if __name__ == "__main__":
    main()
