"""kaogan cite and --licence: what a run, a model and a recipe say of their sources."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.cli.conftest import TINY, Run, refused


def test_a_recipe_a_run_and_a_model_are_cited(run: Run, tmp_path: Path) -> None:
    said = run("cite", "wgan-gp")
    assert said.code == 0 and said.err == ""
    assert re.findall(r"^@\w+\{(\w+),", said.out, re.MULTILINE) == [
        "kaogan", "radford2016dcgan", "arjovsky2017wgan", "gulrajani2017wgangp",
    ]  # fmt: skip
    assert "% penalties.gradient_penalty.weight = 10.0\n" in said.out
    comments = said.out.rpartition("}\n")[2].split("\n")
    assert all(not line or line.startswith("% ") for line in comments), "BibTeX reads over the settings"

    assert run("train", "dcgan", *TINY, "--optim.lr", "0.0003", "--licence", "cc-by-4.0", "--out", "a run").code == 0
    run_said, model_said = run("cite", "a run").out, run("cite", "a run/model").out
    for text in (run_said, model_said):
        assert "% optim.lr = 0.0003\n" in text and "% images shown: 16\n" in text and "% run.seed = 0\n" in text
        assert "% data: avatars\n" in text and "radford2016dcgan" in text
    config = json.loads((tmp_path / "a run/model/config.json").read_text())
    assert config["licence"] == "cc-by-4.0" and str(tmp_path) not in json.dumps(config)
    card = (tmp_path / "a run/model/README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "cc-by-4.0"

    refused(run("cite", "nothing"), 2, "no such folder nothing")
    refused(run("train", "dcgan", *TINY, "--licence", "My Own!"), 2, "run.licence")
