"""The cards of the shipped networks are those that their command writes."""

from __future__ import annotations

import yaml

from tools.write_cards import ROOT, SETTINGS, cards, gallery_lines


def test_every_shipped_network_has_the_card_of_today() -> None:
    found = dict(cards())
    weights = {path.parent for path in ROOT.glob("kaogan/**/*.safetensors")} | set(ROOT.glob("docs/gallery/models/*"))
    without = {"feature_networks/weights", "features/efficientnet_lite0"}  # others' weights, with their own cards
    assert {path.parent for path in found} == {
        folder for folder in weights if "/".join(folder.parts[-2:]) not in without
    }
    for path, text in found.items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run python -m tools.write_cards"
        front = yaml.safe_load(text.split("---")[1])
        results = front["model-index"][0]["results"][0]
        assert (
            SETTINGS["rights"] in text
            and front["license"] == "other"
            and len(results["metrics"]) >= 3
            and results["dataset"]["name"]
        )
        assert not any(word in text for word in ("/home", "/tmp", "/root", "/work", "runs/"))


def test_a_row_of_the_gallerys_table_is_read_as_it_stands() -> None:
    line = gallery_lines()["kao-attributes"]["metrics"]
    assert line["precision (EfficientNet)"] == {
        "name": "precision (EfficientNet)", "value": 0.342, "low": 0.03777, "high": 0.6462, "better": "higher",
        "real": 0.6785, "trained_against": False,
    }  # fmt: skip
    assert line["hair as asked"]["trained_against"] and line["hair as asked"]["real"] is None
    assert "hair as asked" not in gallery_lines()["dcgan"]["metrics"]
