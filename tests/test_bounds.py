"""The oldest releases that CI tests are the lower bounds of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import torch
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent


def requirements() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def lower_bound(requirement: Requirement) -> Version:
    (bound,) = (part.version for part in requirement.specifier if part.operator == ">=")
    return Version(bound)


def test_ci_pins_the_lower_bound_of_every_dependency() -> None:
    lines = (ROOT / ".ci/oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = {pin.name: pin for pin in map(Requirement, filter(lambda line: not line.startswith("#"), lines))}
    wanted = requirements()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {Requirement(line).name for line in project["dependencies"]} <= pins.keys() <= wanted.keys()
    for name, pin in pins.items():
        (exact,) = pin.specifier
        assert exact.operator == "==" and Version(exact.version) == lower_bound(wanted[name]), name


def test_what_ci_runs_with_them_is_there() -> None:
    paths = re.findall(r"\btests/[\w/.]+", (ROOT / ".ci/oldest").read_text(encoding="utf-8"))
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_installed_pytorch_is_one_that_is_allowed() -> None:
    assert requirements()["torch"].specifier.contains(Version(torch.__version__).base_version)
