"""Parts of the studio's page in Node, without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kaogan.studio import app


def in_node(script: str, folder: Path) -> Any:
    """What the module ``script``, beside a copy of the page's ``page``, logs as JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    shutil.copytree(app.PAGE, folder / "page")
    shutil.copytree(app.KIT, folder / "page/kit")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "check.mjs").write_text(script)
    said = subprocess.run([node, "check.mjs"], cwd=folder, capture_output=True, check=True, timeout=100).stdout
    return json.loads(said)


def test_a_newer_call_and_stop_give_the_older_one_up(tmp_path: Path) -> None:
    script = """
    globalThis.document = { querySelectorAll: () => [], getElementById: () => ({}) };
    const { newest } = await import("./page/parts.js");
    const answers = [], shown = [];
    const load = (signal, name) => new Promise((done, fail) => {
      signal.addEventListener("abort", () => fail(Object.assign(new Error(), { name: "AbortError" })));
      answers.push(() => done(name));
    });
    const draw = newest(load, (found) => shown.push(found));
    const calls = [draw("first"), draw("second")];
    answers.forEach((answer) => answer());
    await Promise.all(calls);
    const stopped = draw("third");
    draw.stop();
    answers.at(-1)();
    await stopped;
    const last = draw("fourth");
    answers.at(-1)();
    await last;
    console.log(JSON.stringify(shown));
    """
    assert in_node(script, tmp_path) == ["second", "fourth"]


def test_only_addresses_of_faces_are_remembered(tmp_path: Path) -> None:
    script = """
    const kept = [{ query: "model=a", picture: "data:image/old" }, { query: "face=0.1", picture: "data:image/old" }];
    const shown = {};
    const node = () => ({
      append() {}, addEventListener() {}, setAttribute() {}, replaceChildren(...some) { shown.count = some.length; },
      getContext: () => ({ drawImage() {} }), toDataURL: () => "data:image/new",
    });
    globalThis.document = { getElementById: node, createElement: node };
    globalThis.localStorage = { getItem: () => JSON.stringify(kept), setItem: (name, text) => (shown.kept = text) };
    const { begin, remember } = await import("./page/past.js");
    begin(() => {});
    const found = [shown.count];
    remember("model=a", {});
    found.push(shown.count);
    remember("model=a&face=0.2", {});
    console.log(JSON.stringify([...found, shown.count, JSON.parse(shown.kept).map(({ query }) => query)]));
    """
    assert in_node(script, tmp_path) == [1, 1, 2, ["model=a&face=0.2", "face=0.1"]]
