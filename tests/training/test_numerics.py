"""Precision and determinism as the recipe asks for them; PyTorch's switches can be read without a card."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from kaogan.core import checkpoint
from kaogan.core.device import exact
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import Schema
from kaogan.training import numerics as module
from kaogan.training.numerics import numerics, training_precision
from kaogan.training.state import build_train_state, check_networks, compilable
from tests.small import small, train

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def switches() -> tuple[bool, bool, bool, bool]:
    cudnn = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    return cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("name", "precision", "deterministic", "expected"),
    [
        ("dcgan", "fp32", False, (False, False, True, False)),
        ("dcgan", "tf32", False, (True, True, True, False)),
        ("dcgan", "bf16", True, (False, False, False, True)),
        ("stylegan2", "fp32", False, (False, False, True, False)),
    ],
)
def test_switches_are_set_and_put_back(
    name: str, precision: str, deterministic: bool, expected: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    before = switches()
    recipe = small(name, **{"run.deterministic": deterministic})
    with numerics(recipe, CUDA, precision):
        assert switches() == expected
    assert switches() == before
    with numerics(recipe, CPU, precision):
        assert switches() == before


def test_float32_is_exact_until_the_last_thread_is_done() -> None:
    """Also within a training in TF32."""
    with numerics(small("dcgan"), CUDA, "tf32"):
        before = switches()
        entered, leave = threading.Event(), threading.Event()

        def other() -> None:
            with exact(CUDA):
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        with exact(CUDA):
            thread.start()
            assert entered.wait(10) and switches() == (False,) * 4
        assert switches() == (False,) * 4 and torch.backends.cudnn.deterministic
        leave.set()
        thread.join()
        assert switches() == before and not torch.backends.cudnn.deterministic


def test_what_has_no_deterministic_form_is_one_line() -> None:
    recipe = small("dcgan", **{"run.deterministic": True})
    with pytest.raises(KaoganError, match="--deterministic cannot be kept"), numerics(recipe, CUDA, "fp32"):
        raise RuntimeError("x_backward_cuda does not have a deterministic implementation")
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_cannot_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tf32 .* device is cpu; use fp32"):
        train(small("dcgan", **{"run.precision": "tf32"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    ada = small("stylegan2-64", **{"run.deterministic": True, "run.precision": "fp32"})
    with pytest.raises(UsageError, match="ADA on CUDA"):
        training_precision(ada, CUDA)
    assert training_precision(ada, CPU) == "fp32"
    with pytest.raises(UsageError, match=r"--generator.conv_clamp 256 --discriminator.conv_clamp 256"):
        training_precision(small("stylegan2-64", **{"run.precision": "fp16"}), CUDA)


def test_an_old_card_takes_fp16_only_where_maps_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "choose_precision", lambda *_: "fp16")
    auto = {"run.precision": "auto"}
    assert training_precision(small("dcgan", **auto), CUDA) == "fp16"
    assert training_precision(small("stylegan2-64", **auto), CUDA) == "fp32"
    limits = {"generator.conv_clamp": 256.0, "discriminator.conv_clamp": 256.0}
    assert training_precision(small("stylegan2-64", **auto, **limits), CUDA) == "fp16"


PROJECTED = {
    "discriminator.max_width": 8,
    "discriminator.feature_networks": ["tagger"],
    "discriminator.crop_networks": [{"name": "tagger", "size": 16, "taps": [0]}],
    "attributes.names": [],
    "run.latent_filter": False,
    "discriminator.norm": "none",  # biases before a norm have no gradient but rounding, which Adam makes large
    "data.instance_selection": 1.0,
}


@pytest.mark.parametrize(("name", "more"), [("dcgan", {"generator.output_filter": "binomial"}), ("kao", PROJECTED)])
def test_a_compiled_run_learns_the_same_and_goes_on_uncompiled(
    name: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKEND", "aot_eager")  # all of the compiler but the part that calls g++
    entered: list[str] = []
    call = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **k: (entered.append(k["backend"]), call(self, **k)))
    settings = {"training.images": 24, **more}
    train(small(name, **settings), tmp_path / "plain")
    train(small(name, **settings, **{"run.compile": True}), tmp_path / "compiled")
    assert entered == ["aot_eager"] * 2
    expected, found = (
        checkpoint.load(checkpoint.find(tmp_path / run / "checkpoints")[-1])[0] for run in ("plain", "compiled")
    )
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-5, msg=key)
    assert train(small(name, **settings | {"training.images": 32}), tmp_path / "compiled").finished


def test_shards_of_a_compiled_run_share_no_casts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKEND", "aot_eager")
    recipe = small(
        "dcgan",
        **{"training.images": 8, "training.shards": 2, "run.precision": "bf16", "run.compile": True},
    )
    assert train(recipe, tmp_path / "run").finished


def test_what_can_be_compiled(tmp_path: Path) -> None:
    def networks(name: str) -> tuple[str, ...]:
        recipe = small(name, **{"run.compile": True})
        return compilable(recipe, build_train_state(recipe, Schema(), CPU, "fp32").generator)

    assert networks("dcgan") == ("generator", "discriminator")
    assert networks("wgan-gp") == networks("r3gan-64") == ("generator",)
    refused = "--compile can do nothing for stylegan2-64"
    with pytest.raises(UsageError, match=refused):
        check_networks(small("stylegan2-64", **{"run.compile": True}))  # before pictures are read, and in a dry run
    with pytest.raises(UsageError, match=refused):
        train(small("stylegan2-64", **{"run.compile": True}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_compiler_cannot_do_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: object, inputs: object) -> None:
        raise RuntimeError("no compiler found\non this machine")

    monkeypatch.setattr(module, "BACKEND", backend)
    with pytest.raises(KaoganError, match=r"--compile failed: .*leave it out") as error:
        train(small("dcgan", **{"run.compile": True}), tmp_path / "run")
    assert "\n" not in str(error.value)


def test_a_loss_that_differentiates_a_compiled_network_twice_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKEND", "aot_eager")
    monkeypatch.setattr(module, "compilable", lambda recipe, generator: ("discriminator",))  # as a plug-in's loss may
    with pytest.raises(KaoganError, match=r"--compile failed: .*double backward.*leave it out"):
        train(small("wgan-gp", **{"run.compile": True}), tmp_path / "run")
