"""Parts of the studio's page in Node, without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kaogan.studio import app


def test_a_newer_call_and_stop_give_the_older_one_up(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    parts = (Path(app.__file__).parent / "page/parts.js").read_text(encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "parts.js").write_text("\n".join(line for line in parts.splitlines() if not line.startswith("import")))
    (tmp_path / "check.mjs").write_text("""
    globalThis.$ = () => ({ replaceChildren() {} });
    const { newest } = await import("./parts.js");
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
    """)
    said = subprocess.run([node, "check.mjs"], cwd=tmp_path, capture_output=True, check=True, timeout=100).stdout
    assert json.loads(said) == ["second", "fourth"]
