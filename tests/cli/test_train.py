"""kaogan train: what it prints and writes, alone and when it is broken off."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from kaogan import cli
from kaogan.cli import _train_progress
from kaogan.cli._console import parse_overrides
from kaogan.config import recipes
from kaogan.core import device
from kaogan.core.distributed import Processes
from kaogan.core.errors import KaoganError
from kaogan.core.training_loop import TrainProgress, TrainResult
from tests.cli.conftest import TINY, Run, refused


def test_trains_and_says_where_everything_is(run: Run, tmp_path: Path, made: Path) -> None:
    words = ["train", "acgan", *TINY, "--data", made / "faces", "--out", "runs/my [run] 1"]
    said = run(*words)
    assert said.code == 0 and said.err == "", said
    out = tmp_path / "runs/my [run] 1"
    assert said.out.startswith("24 pictures from ")
    assert '\n  conditional on hair (12 values), eyes (10 values); to train without: --attributes.names "[]"\n' in (
        said.out
    )
    assert "conditional on hair: orange, white" in (out / "log.txt").read_text()
    listing = said.out.partition("In runs/my [run] 1:\n")[2]
    names = re.findall(r"^  (\S+) ", listing, re.MULTILINE)
    assert names and all((out / name).exists() for name in names), names
    assert "kaogan sample 'runs/my [run] 1' --out samples.png" in said.out
    assert re.search(
        r"^ +16 of 16 +loss D \S+ +G \S+ +D\(x\) \S+ +D\(G\(z\)\) \S+ +\d+ images/s +0 s left$", said.out, re.M
    )
    again = run(*words)
    assert again.code == 0 and again.out.splitlines() == [
        "runs/my [run] 1 is finished: trained to 16 images.",
        "Its model:    runs/my [run] 1/model",
        "To train on:  the same command with --images 32, or any number above 16",
    ]
    without = run(*words, "--attributes.names", "[]", "--out", "without", "--dry-run")
    assert without.code == 0 and "conditional on" not in without.out


@pytest.mark.parametrize(("end", "told"), [(32, True), (17, False), (16, False), (0, False)])
def test_a_run_that_ends_before_its_noise_says_so(run: Run, end: int, told: bool) -> None:
    words = ["train", "dcgan", *TINY, "--extras.instance_noise.amount", "0.1", "--extras.instance_noise.end", end]
    said = run(*words)
    assert said.code == 0, said
    assert ("fades until 32 images, but this run ends at 16" in said.out) == told
    assert ("--extras.instance_noise.end 11 lets it fade in time" in said.out) == told
    # What a run that goes on could not change.
    assert "fade" not in run(*words, "--images", "24").out


@pytest.mark.parametrize(
    ("asked", "fast", "told"), [("bf16", False, True), ("bf16", True, False), ("auto", False, False)]
)
def test_a_precision_that_is_emulated_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, asked: str, fast: bool, told: bool
) -> None:
    monkeypatch.setattr(device, "_cpu_multiplies_bf16", lambda: fast)
    for more in ([], ["--dry-run"]):
        said = run("train", "dcgan", *TINY, "--device", "cpu", "--precision", asked, *more)
        assert said.code == 0, said
        assert ("--precision bf16 takes many times as long as --precision auto" in said.out) == told


def test_kao_without_pictures_says_what_is_made_for_avatars(run: Run, made: Path) -> None:
    words = ["--data.avatars", "8", "--dry-run", "--image-size", "16", "--batch-size", "8"]
    assert "kaogan train demo is made for them" in run("train", "kao", *words).out
    assert "made for them" not in run("train", "kao", *words, "--data", made / "faces").out
    assert "made for them" not in run("train", "demo", *words).out


def test_changes_are_refused_unless_allowed(run: Run, tmp_path: Path) -> None:
    words = ["train", "dcgan", *TINY, "--out", "run"]
    assert run(*words).code == 0
    refused(run(*words, "--optim.lr", "0.5", "--seed", "3"), 2, "optim.lr was 0.0002, now 0.5", "run.seed was 0, now 3",
            "--allow-changes")  # fmt: skip
    assert run(*words, "--optim.lr", "0.0003", "--allow-changes").code == 0
    assert recipes.load(tmp_path / "run/recipe.yaml").optim.lr == 3e-4
    assert "Trained to 24 images" in run(*words, "--optim.lr", "3e-4", "--images", "24").out


def test_a_run_that_its_measurements_ended_says_what_would_go_on(tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        console = Console(file=file, width=80, highlight=False)
        _train_progress.tell_finished(console, TrainResult(16, True, 1.0, tmp_path, began_at=16), 24)
        file.seek(0)
        said = file.read().splitlines()
    assert said[0].endswith("is finished: trained to 16 images.") and "--eval.patience 0" in said[2]


def test_the_order_of_the_words_does_not_matter(run: Run, tmp_path: Path) -> None:
    assert run("train", "--optim.lr", "0.5", *TINY, "dcgan", "--data.horizontal_flip=true", "--dry-run").code == 0
    said = run("train", "--optim.lr=0.5", "--data.horizontal_flip", "true", "dcgan", "--dry-run", *TINY)
    assert "lr: 0.5\n" in said.out and "horizontal_flip: true\n" in said.out
    (tmp_path / "my recipe.yaml").write_text(recipes.text("sagan").replace("name: sagan\n", ""))
    said = run(
        "train", "--recipe", "my recipe.yaml", "--optim.lr", "0.5", "--training.n-critic", "3", *TINY, "--dry-run"
    )
    assert "name: my-recipe\n" in said.out and "lr: 0.5\n" in said.out and "n_critic: 3\n" in said.out
    said = run("train", "dcgan", *TINY, "--batch_size", "4", "--dry-run")
    assert "batch_size: 8\n" in said.out, "what --help spells wins"


def test_kao_is_trained_when_no_recipe_is_named(run: Run) -> None:
    assert "name: kao\n" in run("train", *TINY, "--dry-run").out


def test_dry_run_prints_what_it_would_cost_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    said = run("train", "acgan", *TINY, "--dry-run")
    assert said.code == 0 and list(tmp_path.iterdir()) == []
    printed = said.out[said.out.index("name: acgan") : said.out.index("\ndata  ")]
    assert recipes.load(recipes.parse_yaml(printed, "printed")) == recipes.load(
        "acgan", parse_overrides(dict(zip([w[2:] for w in TINY[::2]], TINY[1::2], strict=True)))
    )
    assert "hair (12), eyes (10)" in said.out
    for line in (
        r"parameters +generator [\d,]+, discriminator [\d,]+",
        r"machine +.+, cpu, fp32",
        r"speed +\d+ images/s, measured on \d+ steps",
        r"time +\d+ (s|min) for 16 images",
        r"memory +[\d,]+ MB",
    ):
        assert re.search(f"^{line}$", said.out, re.MULTILINE), line


def test_a_failure_is_one_line_and_exit_code_1(run: Run, tmp_path: Path) -> None:
    assert run("train", "dcgan", *TINY, "--out", "run").code == 0
    for path in (tmp_path / "run/checkpoints").iterdir():
        path.write_bytes(b"{}")
    refused(run("train", "dcgan", *TINY, "--out", "run"), 1, "no checkpoint in run can be used", "damaged")
    refused(run("train", "dcgan", *TINY, "--out", "b", "--run.loss_limit", "1e-3"), 1, "ran away to", "--optim.lr")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "out of memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA\nout of memory"), 1, "out of memory"),
        (KaoganError("one\nline"), 1, "kaogan: one line"),
    ],
)
def test_what_interrupts_the_reading_of_data(
    run: Run, error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(_train_progress.api, "load_data", fail)
    refused(run("train", "dcgan", *TINY), code, words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_data_is_read(run: Run, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_train_progress.api, "load_data", lambda *_: signal.raise_signal(number))
    refused(run("train", "dcgan", *TINY), 130, "interrupted")


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_train_progress.api, "load_data", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["kaogan", "train", "dcgan", *TINY])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", ["demo", "resdcgan-wgan-gp"])
def test_the_bar_fits_the_terminal(width: int, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stats = {
        "loss_d": -1.234e-5,
        "loss_g": -123456.0,
        "real_score": -10.55,
        "fake_score": -12.25,
        "images_per_second": 12345.6,
    }

    class Pictures:
        images, source, schema, skipped, notes = [0], "x", (), (), ()

    def fake(*_: object, on_progress: Callable[[TrainProgress], None], **__: object) -> TrainResult:
        on_progress(TrainProgress(150_000, 300_000, stats))
        return TrainResult(150_000, False, 3.0, tmp_path)

    monkeypatch.setattr(_train_progress, "read_data", lambda *_: Pictures)
    monkeypatch.setattr(_train_progress.api, "run", fake)
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        console = Console(file=file, force_terminal=True, width=width, highlight=False)
        assert _train_progress.run_training(console, recipes.load(name, {"images": 300_000}), None, None, False) == 130
        file.seek(0)
        screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.read())
    lines = [line.rstrip() for line in re.split(r"[\r\n]", screen) if line.strip()]
    assert all(len(line) <= width for line in lines), lines
    bar = next(line for line in lines[::-1] if line.startswith(name))
    assert "150000/300000" in bar or width < 80
    assert ("12346 images/s" in bar) == (width >= 80)
    assert ("loss D" in bar) == (width >= (120 if name != "demo" else 100))
    assert ("D(G(z))" in bar) == (width >= 200)


def test_a_run_that_looks_unwell_says_so_and_not_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Pictures:
        images, source, schema, skipped, notes = [0], "x", (), (), ()

    seen = "D has won [hard]: G learns nothing. Try less"

    def fake(*_: object, on_progress: Callable[[TrainProgress], None], **__: object) -> TrainResult:
        numbers = {"loss_d": 0.0, "loss_g": 9.0, "images_per_second": 10.0}
        for clock, warning in ((1_000, ""), (2_000, seen), (3_000, seen)):
            on_progress(TrainProgress(clock, 3_000, numbers, warning))
        return TrainResult(3_000, True, 3.0, tmp_path, seen)

    monkeypatch.setattr(_train_progress, "read_data", lambda *_: Pictures)
    monkeypatch.setattr(_train_progress.api, "run", fake)
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        console = Console(file=file, width=80, highlight=False)
        assert _train_progress.run_training(console, recipes.load("dcgan", {"images": 3_000}), None, None, False) == 0
        file.seek(0)
        lines = file.read().splitlines()
    assert lines[:2] == ["1 pictures from x", "training dcgan; the first numbers come after 1,000 images"]
    assert lines.count(f"At 2,000 images: {seen}") == 1 and not any(line.startswith("At 3,000") for line in lines)
    assert lines[-1] == f"This run does not look well. {seen}"
    assert not any("Next:" in line for line in lines)


@pytest.mark.parametrize("option", ["--compile", "--deterministic"])
def test_options_that_an_upscaler_has_not_are_named(run: Run, option: str) -> None:
    said = run("train", "kao-sr", option)
    assert said.code == 2 and "kao-sr has neither --deterministic nor --compile" in said.err, said


def test_an_upscaler_is_refused_several_processes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaogan.core.distributed.join", lambda: Processes(0, 2))
    refused(run("train", "kao-sr"), 2, "kao-sr trains in one process", "leave out torchrun")
