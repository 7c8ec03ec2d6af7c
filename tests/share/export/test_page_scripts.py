"""Parts of the page in Node, without a browser: its history, its service worker, its words."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kaogan.share.export import web

DOCUMENT = """
class Element {
  constructor() { this.children = []; this.dataset = {}; }
  get firstChild() { return this.children[0]; }
  get lastChild() { return this.children.at(-1); }
  append(...some) { for (const each of some) { this.children.push(each); each.parent = this; } }
  prepend(each) { this.children.unshift(each); each.parent = this; }
  remove() { this.parent.children.splice(this.parent.children.indexOf(this), 1); }
  replaceChildren(...some) { this.children = []; this.append(...some); }
  setAttribute(name, value) { this[name] = value; }
}
globalThis.document = { createElement: () => new Element(), querySelectorAll: () => [] };
globalThis.localStorage = {
  kept: {}, getItem(name) { return this.kept[name] ?? null; }, setItem(name, text) { this.kept[name] = text; },
};
"""


def in_node(script: str, folder: Path) -> Any:
    """What the module ``script``, beside a copy of the page's ``page``, logs as JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    shutil.copytree(web.PAGE, folder / "page")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "check.mjs").write_text(script)
    said = subprocess.run([node, "check.mjs"], cwd=folder, capture_output=True, check=True, timeout=100).stdout
    return json.loads(said)


def test_tiles_of_the_history_are_where_they_belong_whatever_comes_meanwhile(tmp_path: Path) -> None:
    script = """
    const { faceHistory } = await import("./page/history.js");
    const faces = { describe: String, sound: (one) => one, toAddress: (one) => `#${one}` };
    localStorage.setItem("faces", JSON.stringify(["a", "b", "c", "d"]));
    const list = new Element();
    const shown = () => list.children.map((item) => item.firstChild.title).join("");
    const during = { a: () => history.add("new", "picture"), b: () => history.add("c", "picture") };
    const history = faceHistory(list, "faces", faces, async (one) => { during[one]?.(); return "picture"; }, () => 0);
    const tiles = await history.restore();
    const found = [shown(), JSON.parse(localStorage.kept.faces).join(""), tiles.map(([, one]) => one).join("")];
    history.add("b", "picture");
    found.push(shown());
    for (let number = 0; number < 50; number++) history.add(number, "picture");
    found.push(list.children.length, JSON.parse(localStorage.kept.faces).length);
    history.forget();
    found.push(shown());
    localStorage.setItem("faces", JSON.stringify(["x", "y"]));
    const other = faceHistory(list, "faces", faces, async () => { other.forget(); return "picture"; }, () => 0);
    await other.restore();
    found.push(shown());
    console.log(JSON.stringify(found));
    """
    assert in_node(DOCUMENT + script, tmp_path) == ["cnewabd", "cnewabd", "abd", "bcnewad", 40, 40, "", ""]


def test_only_the_pages_own_address_is_answered_with_the_page(tmp_path: Path) -> None:
    script = """
    const heard = {};
    const scope = "http://localhost/faces/";
    globalThis.self = { registration: { scope }, addEventListener: (name, hear) => (heard[name] = hear) };
    const kept = { "index.html": "page", "http://localhost/faces/index.html": "page",
                   "http://localhost/faces/runtime/LICENSE": "licence" };
    globalThis.caches = { open: async () => ({ match: async (wanted) => kept[wanted.url?.split("?")[0] ?? wanted] }) };
    globalThis.fetch = async (request) => `network ${request.url}`;
    await import("./page/sw.js");
    const found = [];
    for (const path of ["", "?backend=wasm", "index.html", "runtime/LICENSE", "other.html"]) {
      const request = { method: "GET", mode: "navigate", url: scope + path };
      heard.fetch({ request, respondWith: (answer) => found.push(answer) });
    }
    console.log(JSON.stringify(await Promise.all(found)));
    """
    page = ["page", "page", "page"]
    assert in_node(script, tmp_path) == [*page, "licence", "network http://localhost/faces/other.html"]


def test_the_words_in_python_name_a_place_and_not_a_recipe(tmp_path: Path) -> None:
    script = """
    Object.assign(globalThis, { window: globalThis, location: { href: "http://localhost/" } });
    const { facesOf } = await import("./page/faces.js");
    const model = { name: "kao", path: "path/to/the/model", attributes: [], keywords: true };
    const words = facesOf(model).python({ seed: 3, number: 0, truncation: 1 }, {});
    console.log(JSON.stringify(words.split("\\n")[2]));
    """
    assert in_node(DOCUMENT + script, tmp_path) == 'model = kaogan.load("path/to/the/model")'
