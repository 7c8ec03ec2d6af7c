"""axe-core: what a screen reader or the keyboard could not use on a page."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe


def violations(page: Any) -> list[str]:
    """Rule and element of each violation of WCAG 2.2 A and AA that axe finds."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary'][-160:]}"
        for rule in found.response["violations"]
        for node in rule["nodes"]
    ]
