"""What must lie on one device does, shown without an accelerator: on the devices "meta" and a pretended "cuda"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kaogan.core.checkpoint import load_optimizer, optimizer_tensors
from kaogan.core.distributed import Processes
from kaogan.core.errors import UsageError
from kaogan.core.schema import Attribute, Schema
from kaogan.training import run_logger
from kaogan.training.train import train as run_training
from tests.training.conftest import Bench, make_pictures
from tests.training.runs import train
from tests.training.tiny import tiny

META = torch.device("meta")


def test_conditions_lie_where_the_labels_do() -> None:
    schema = Schema((Attribute("hair", ("a", "b"), (0.5, 0.5)), Attribute("eyes", ("a", "b", "c"), (0.2, 0.3, 0.5))))
    assert schema.encode(torch.zeros(4, 2, dtype=torch.int64, device=META)).device == META
    labels = torch.tensor([[1, 0], [-1, 2]])
    assert schema.encode(labels).tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize("fused", [True, False])
def test_an_optimizer_is_restored_where_its_weights_lie(fused: bool) -> None:
    """Fused Adam wants its step count there, too; the plain one wants it on the CPU."""
    source = nn.Linear(2, 3)
    trained = torch.optim.Adam(source.parameters(), fused=fused)
    source(torch.ones(1, 2)).sum().backward()
    trained.step()
    saved = optimizer_tensors("optim", source, trained)
    module = nn.Linear(2, 3, device=META)
    optimizer = torch.optim.Adam(module.parameters())
    optimizer.defaults["fused"] = fused  # PyTorch refuses a fused optimiser on meta, where nothing runs
    load_optimizer("optim", module, optimizer, saved)
    for state in optimizer.state.values():
        assert state["exp_avg"].device == META
        assert state["step"].device == (META if fused else torch.device("cpu"))


def test_saving_a_model_leaves_the_ema_on_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model moves its generator in place: it has to be told the device of the training."""
    told: list[Any] = []
    made = run_logger.Model

    def spy(*arguments: Any, **keywords: Any) -> Any:
        told.append(keywords.get("device"))
        return made(*arguments, **keywords)

    monkeypatch.setattr(run_logger, "Model", spy)
    train(tmp_path / "run", images=8)
    assert told and all(device == torch.device("cpu") for device in told)


def test_the_ema_stays_with_its_source(bench: Callable[..., Bench]) -> None:
    ema = bench(tiny(**{"generator.norm": "layer"})).state.ema
    ema.source.to(META)
    ema.module.to(META)
    calibration = [(torch.empty(4, 8, device=META),)]
    assert {value.device for value in ema.snapshot(calibration).state_dict().values()} == {META}
    ema.lerp(0.5)


def test_several_processes_do_not_share_the_card_of_a_number(tmp_path: Path) -> None:
    of = tiny(**{"run.device": "cuda:0"})
    with pytest.raises(UsageError, match="cuda:0 is one card for all processes"):
        run_training(of, make_pictures(), tmp_path / "run", processes=Processes(1, 2))
