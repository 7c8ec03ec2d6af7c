"""The JavaScript of the studio's page and of the exported one: no circles, one shared kit, served and copied."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from kaogan.share.export import web
from kaogan.studio import app


def imports(file: Path, kit: Path) -> list[Path]:
    names = re.findall(r'^import [^;]*?"\./([\w./]+)";', file.read_text(encoding="utf-8"), re.MULTILINE)
    return [kit / Path(name).name if name.startswith("kit/") or file.parent == kit else file.parent / name
            for name in names]  # fmt: skip


@pytest.mark.parametrize("page", [app.PAGE, web.PAGE], ids=["studio", "export"])
def test_the_imports_of_a_page_exist_and_have_no_circle(page):
    graph = {file: imports(file, app.KIT) for folder in (page, app.KIT) for file in folder.glob("*.js")}
    assert any(file.parent == app.KIT for file in list(TopologicalSorter(graph).static_order()))
    assert set().union(*graph.values()) <= graph.keys()
    used = {each for file, found in graph.items() if file.parent == page for each in found}
    assert set(app.KIT.glob("*.js")) <= used, "what only one page needs is no part of the kit"


def test_the_studio_serves_the_kit_of_the_exported_page(studio):
    for name in ("dom.js", "attributes.css"):
        status, content, _ = studio.call(f"/page/kit/{name}")
        assert status == 200 and content == (web.PAGE / "kit" / name).read_bytes()
