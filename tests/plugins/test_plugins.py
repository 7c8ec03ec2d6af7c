"""Plug-ins are found, registered, recorded, and asked for when they are missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kaogan
from kaogan import plugins
from kaogan.config import recipes
from kaogan.config.recipe import Section
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.loaded_plugins import LOADED
from kaogan.losses.extras import EXTRAS, Extra
from kaogan.networks import GENERATORS, list_networks
from tests.cli.conftest import run

__all__ = ["run"]

TINY: dict[str, Any] = {
    "image_size": 16, "latent.size": 8, "training.batch_size": 8, "training.images": 16, "data.avatars": 24,
    "generator.width": 4, "discriminator.width": 4, "run.device": "cpu", "run.precision": "fp32",
    "run.grid_pictures": 4,
}  # fmt: skip
WORDS = [word for key, value in TINY.items() for word in (f"--{key}", value)]

Example = Callable[[str], Path]


def forget() -> None:
    """As if the process were a new one."""
    LOADED.clear()
    GENERATORS._parts.pop("mlp", None)
    GENERATORS._homes.pop("mlp", None)


def test_an_objective_trains(example: Example, tmp_path: Path) -> None:
    (plugin,) = kaogan.load_plugins([example("squared_hinge.py")])
    assert plugin.parts == ("objective squared_hinge",)
    model = kaogan.train("dcgan", out=tmp_path / "run", **(TINY | {"objective.name": "squared_hinge"}))
    assert model.sample(1).shape == (1, 16, 16, 3)
    with pytest.raises(UsageError, match="did you mean 'squared_hinge'"):
        recipes.load("dcgan", {"objective.name": "squared_hing"})


def test_a_network_trains_is_recorded_and_resumed(example: Example, tmp_path: Path) -> None:
    path = example("mlp.py")
    kaogan.load_plugins([path])
    assert [(info.role, info.conditional) for info in list_networks() if info.name == "mlp"] == [("generator", True)]
    settings = {**TINY, "generator.family": "mlp"}
    kaogan.train("acgan", out=tmp_path / "run", **settings)
    (record,) = json.loads((tmp_path / "run" / "data.json").read_text())["plugins"]
    assert record["name"] == str(path) and len(record["version"]) == 64 and record["parts"] == ["generator mlp"]
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["plugins"] == [record | {"name": Path(record["name"]).name}], "no local path travels"
    assert config["generator"]["family"] == "mlp"

    forget()  # the run's own record brings the plug-in back
    model = kaogan.train("acgan", out=tmp_path / "run", **(settings | {"training.images": 32}))
    assert model.config["clock"] == 32 and list(LOADED) == [str(path)]


def test_a_model_without_its_plug_in_says_which(example: Example, tmp_path: Path) -> None:
    path = example("mlp.py")
    kaogan.load_plugins([path])
    kaogan.train("dcgan", out=tmp_path / "run", **(TINY | {"generator.family": "mlp"}))
    forget()
    with pytest.raises(UsageError, match=r"needs the plug-in .*mlp\.py, which brings the generator mlp.*--plugin"):
        kaogan.load(tmp_path / "run")
    kaogan.load_plugins([path])
    assert kaogan.load(tmp_path / "run").sample(1).shape == (1, 16, 16, 3)


def test_a_changed_plug_in_is_not_loaded_by_itself(example: Example, tmp_path: Path) -> None:
    path = example("mlp.py")
    kaogan.load_plugins([path])
    settings = {**TINY, "generator.family": "mlp"}
    kaogan.train("dcgan", out=tmp_path / "run", **settings)
    path.write_text(path.read_text() + "\n# changed\n")
    forget()
    with pytest.raises(UsageError, match=r"mlp\.py, which has changed since; name it with --plugin"):
        kaogan.train("dcgan", out=tmp_path / "run", **settings)
    kaogan.load_plugins([path])
    with pytest.raises(UsageError, match=r"plug-in .*mlp\.py was '.*--allow-changes"):
        kaogan.train("dcgan", out=tmp_path / "run", **settings)
    kaogan.train("dcgan", out=tmp_path / "run", allow_changes=True, **(settings | {"training.images": 32}))
    path.unlink()
    forget()
    with pytest.raises(UsageError, match="is not there any more"):
        kaogan.train("dcgan", out=tmp_path / "run", **settings)


def test_a_changed_file_replaces_its_parts_in_the_same_process(example: Example) -> None:
    path = example("mlp.py")
    (first,) = kaogan.load_plugins([path])
    assert kaogan.load_plugins([path, str(path)]) == [first, first]
    path.write_text(path.read_text().replace("Field(3,", "Field(5,"))
    (second,) = kaogan.load_plugins([path])
    assert second.version != first.version and GENERATORS["mlp"].Settings().layers == 5  # type: ignore[attr-defined, call-arg]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import kaogan\n1 / 0\n", r"plugin\.py, line 2: ZeroDivisionError"),
        ("def f(:\n", r"plugin\.py.*SyntaxError"),
        ("import kaogan\nfrom kaogan.networks.base import Generator\nclass A(Generator): ...\n"
         "kaogan.register_network('a')(A)\n", r"line 4: A cannot be registered as 'a'.*Settings"),
        ("import kaogan\nkaogan.register_network('a')(int)\n", "neither a Generator nor a Discriminator"),
        ("import kaogan\nfrom kaogan.losses import Objective\n"
         "kaogan.register_objective('bce', Objective(*[lambda s, o: s] * 3))\n", "called 'bce' already"),
        ("import kaogan\nfrom kaogan.losses import Objective\n"
         "kaogan.register_objective('a b', Objective(*[lambda s, o: s] * 3))\n", "'a b' is no name"),
    ],
)  # fmt: skip
def test_wrong_plug_ins_are_one_line(code: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "plugin.py"
    path.write_text(code)
    with pytest.raises(UsageError, match=words) as caught:
        kaogan.load_plugins([path])
    assert "\n" not in str(caught.value) and not LOADED


def test_files_that_are_no_plug_ins(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    for path in (tmp_path / "none.py", tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UsageError, match="name a Python file"):
            kaogan.load_plugins([path])


def test_the_command_line(run: Any, example: Example, tmp_path: Path) -> None:
    path = example("mlp.py")
    said = run("train", "dcgan", "--plugin", path, "--generator.family", "mlp", *WORDS, "--out", tmp_path / "run")
    assert said.code == 0, said
    forget()
    missing = run("sample", tmp_path / "run", "--count", 1, "--out", tmp_path / "pictures")
    assert missing.code == 2 and "needs the plug-in" in missing.err and missing.err.count("\n") == 1
    drawn = run("sample", f"--plugin={path}", tmp_path / "run", "--count", 1, "--out", tmp_path / "pictures")
    assert drawn.code == 0, drawn
    for words in (("train", "dcgan", "--plugin"), ("--plugin", "none.py", "recipes", "list")):
        wrong = run(*words)
        assert wrong.code == 2 and "Python file" in wrong.err
    assert "--plugin" in run("--help").out


class Entry:
    """What importlib.metadata finds of an installed plug-in."""

    name, module = "my-parts", "my_package.kaogan_parts"

    class dist:  # noqa: N801
        name, version = "my-package", "1.2"

    def __init__(self, load: Callable[[], object]) -> None:
        self.load = load


def installed(monkeypatch: pytest.MonkeyPatch, load: Callable[[], object]) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry(load)] * (group == "kaogan.plugins"))


def test_installed_plug_ins_are_found(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "kaogan_parts.py").write_text(example("mlp.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    installed(monkeypatch, lambda: importlib.import_module(Entry.module))
    kaogan.train("dcgan", out=tmp_path / "run", **(TINY | {"generator.family": "mlp"}))
    (record,) = json.loads((tmp_path / "run" / "data.json").read_text())["plugins"]
    assert record == {"name": "my-parts", "package": "my-package", "version": "1.2", "parts": ["generator mlp"]}
    forget()
    monkeypatch.setattr(plugins, "_installed_loaded", False)
    installed(monkeypatch, lambda: None)
    with pytest.raises(KaoganError, match="install my-package"):
        kaogan.load(tmp_path / "run")


def test_a_broken_installed_plug_in_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ImportError("no module named x")

    installed(monkeypatch, broken)
    plugins.load_installed_plugins()
    assert caplog.messages == [
        "the plug-in my-parts of the package my-package is left out: ImportError: no module named x"
    ]


def test_a_generator_without_attributes_refuses_them(tmp_path: Path, example: Example) -> None:
    path = example("mlp.py")
    path.write_text(
        path.read_text().replace(
            "    Settings = MLPSettings\n", "    Settings = MLPSettings\n    conditional = False\n"
        )
    )
    kaogan.load_plugins([path])
    with pytest.raises(UsageError, match="'mlp' generator takes no attributes"):
        kaogan.train("acgan", out=tmp_path / "run", **(TINY | {"generator.family": "mlp"}))


class _NoDefault(Section):
    weight: float


@pytest.mark.parametrize(
    ("register", "said"),
    [
        (lambda: kaogan.register_objective("text", "text"), "it is not an Objective of kaogan.losses"),
        (lambda: kaogan.register_metric("text"), "it is not a Metric of kaogan.metrics.registry"),
        (lambda: kaogan.register_format(type("Nameless", (), {})), "Nameless cannot be registered as format"),
        (lambda: kaogan.register_extra("other")(type("Other", (), {})), "it is not an Extra of kaogan.losses.extras"),
        (
            lambda: kaogan.register_extra("undefaulted")(type("Undefaulted", (Extra,), {"Settings": _NoDefault})),
            r"every field of its Settings needs a default, with which the extra is off \(weight has none\)",
        ),
    ],
)
def test_what_is_no_part_is_refused_when_it_registers(register: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        register()
    assert "undefaulted" not in EXTRAS and "other" not in EXTRAS


def test_a_plugin_that_exits_is_told(tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(UsageError, match=r"leaving.py, line 2: SystemExit: 3"):
        kaogan.load_plugins([tmp_path / "leaving.py"])
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UsageError, match="is a folder, not a plug-in"):
        kaogan.load_plugins([tmp_path / "folder.py"])
