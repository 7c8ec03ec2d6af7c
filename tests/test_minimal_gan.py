"""The example for students: short, alone, and as exact in resuming as the engine."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

PATH = Path(__file__).resolve().parent.parent / "examples/minimal_gan.py"


@pytest.fixture(scope="module")
def gan() -> ModuleType:
    spec = importlib.util.spec_from_file_location("minimal_gan", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_short_and_needs_no_kaogan() -> None:
    text = PATH.read_text()
    assert len(text.splitlines()) <= 150 and "import kaogan" not in text and "from kaogan" not in text


def test_the_order_shows_every_image_once_an_epoch(gan: ModuleType) -> None:
    for batch in (3, 5):
        shown = torch.cat([gan.batch_indices(1, clock, batch, 10) for clock in range(0, 30, batch)])
        epochs = shown.view(3, 10)
        assert (epochs.sort(1).values == torch.arange(10)).all() and not torch.equal(epochs[0], epochs[1])
    assert torch.equal(shown, torch.cat([gan.batch_indices(1, clock, 3, 10) for clock in range(0, 30, 3)]))


def test_a_resumed_run_is_the_undisturbed_one(gan: ModuleType, tmp_path: Path) -> None:
    images = gan.load_images(None)[:20]
    whole = gan.Trainer(images, seed=3, batch=8)
    losses = [whole.step() for _ in range(5)]
    first = gan.Trainer(images, seed=3, batch=8)
    for _ in range(2):
        first.step()
    first.save(tmp_path / "checkpoint.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    torch.manual_seed(99)  # no global state is used
    second = gan.Trainer(images, seed=3, batch=8)
    second.load(tmp_path / "checkpoint.pt")
    assert [second.step() for _ in range(3)] == losses[2:] and second.clock == whole.clock == 40
    for name in ("g", "d", "ema"):
        mine, right = getattr(second, name).state_dict(), getattr(whole, name).state_dict()
        assert all(torch.equal(mine[key], right[key]) for key in right), name
    assert torch.equal(second.sample(4), whole.sample(4))
    other = gan.Trainer(images, seed=4, batch=8)
    assert not torch.equal(other.sample(4), gan.Trainer(images, seed=3).sample(4)), "the seed decides"


def test_it_learns_the_colours_of_a_set(gan: ModuleType) -> None:
    """Images that are red: after a few steps the samples are redder than at the start."""
    red = torch.tensor([0.9, -0.9, -0.9])[:, None, None].expand(16, 3, gan.SIZE, gan.SIZE)
    trainer = gan.Trainer(red, batch=16, lr=1e-3, ema_images=100)
    redness = lambda: float(trainer.sample(8).float().mean((0, 1, 2)) @ torch.tensor([1.0, -0.5, -0.5]))  # noqa: E731
    before = redness()
    for _ in range(40):
        trainer.step()
    assert redness() > before + 50


def test_the_command(gan: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "faces").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 50), (80 * number, 0, 255)).save(tmp_path / f"faces/{number}.png")
    assert gan.load_images(tmp_path / "faces")[2].mean((1, 2)) == pytest.approx([0.2549, -1, 1], abs=1e-3)
    words = ["minimal_gan.py", str(tmp_path / "faces"), "--out", str(tmp_path / "run"), "--images"]
    for images in ("64", "96", "96"):
        monkeypatch.setattr(sys, "argv", [*words, images])
        gan.main()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["64", "96"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["0000064.png", "0000096.png", "checkpoint.pt"]
    with Image.open(tmp_path / "run/0000096.png") as sheet:
        assert sheet.size == (256, 256)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no pictures"):
        gan.load_images(tmp_path / "empty")
