"""The sentence at the end of a measurement."""

from __future__ import annotations

from typing import Any

from kaogan.evaluation.verdict import verdict


def row(value: float, real: float | None, name: str = "", against: bool = False) -> dict[str, Any]:
    return {"value": value, "real": real, "name": name, "trained_against": against}


def test_it_says_how_good_and_compared_with_what() -> None:
    metrics = {
        "fid/tagger": row(0.9, 0.1, "FD-tagger", against=True),
        "precision/tagger": row(0.9, 0.91, against=True),
        "fid/efficientnet": row(311.2, 18.0, "FD-EfficientNet"),
        "precision/efficientnet": row(0.62, 0.69),
        "recall/efficientnet": row(0.018, 0.67),
    }
    assert verdict("kao", metrics) == (
        "In short: of 100 pictures of kao, 62 look like real ones (69 of real ones do); they show 2 % of the real "
        "variety (real ones 67 %); their FD-EfficientNet is 311.2, where real pictures are 18.00 from each other."
    )
    assert verdict("kao", metrics, among=3).startswith("In short: kao comes nearest of 3: of 100 pictures")
    alone = {"fid/inception": row(12.5, None, "FID")}
    assert verdict("dcgan", alone) == "In short: dcgan's FID is 12.50."
    assert verdict("kao", {"fid/tagger": metrics["fid/tagger"], "fixed_share": row(0.1, 0.2)}) == ""
