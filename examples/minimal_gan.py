"""A GAN in one file of plain PyTorch: the ideas of kaogan's engine without the engine.

    python examples/minimal_gan.py FOLDER --out run     # without FOLDER: synthetic discs; again: continues exactly

1. The clock is the number of real images shown, whatever the batch size is.
2. Every random number is a function of (seed, purpose, clock), so a resumed run repeats an undisturbed one bit for bit.
3. Samples come from an exponential moving average (EMA) of the generator.
4. A checkpoint holds the whole state and appears atomically: a killed process leaves the old one or the new one.
"""

import argparse
import copy
import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

SIZE, LATENT, WIDTH = 32, 64, 32  # px, numbers, channels


def rng(seed: int, purpose: str, clock: int) -> torch.Generator:
    """The random generator of one purpose at one moment; nothing else is random."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{clock}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") % 2**63)


def load_images(folder: Path | None) -> Tensor:
    """The pictures of a folder, or 512 synthetic discs: float32 (N, 3, S, S) in [-1, 1]."""
    if folder is None:
        random = rng(0, "discs", 0)
        x, y = torch.meshgrid(*[torch.linspace(-1, 1, SIZE)] * 2, indexing="xy")
        centre, radius = torch.rand(512, 2, 1, 1, generator=random) - 0.5, torch.rand(512, 1, 1, generator=random)
        inside = ((x - centre[:, 0]).hypot(y - centre[:, 1]) < 0.2 + 0.4 * radius).float()
        colour = torch.rand(512, 3, 1, 1, generator=random) * 2 - 1
        return inside[:, None] * colour + (1 - inside[:, None])
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    if not paths:
        raise SystemExit(f"no pictures in {folder}")
    images = [Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS) for path in paths]
    raw = torch.stack([torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8) for image in images])
    return raw.view(-1, SIZE, SIZE, 3).permute(0, 3, 1, 2).float() / 127.5 - 1


def batch_indices(seed: int, clock: int, batch: int, count: int) -> Tensor:
    """Which images the batch at ``clock`` shows: epoch after epoch, each in an order of its own."""
    places = range(clock, clock + batch)
    orders = {e: torch.randperm(count, generator=rng(seed, "order", e)) for e in {p // count for p in places}}
    return torch.stack([orders[place // count][place % count] for place in places])


def build_generator() -> nn.Module:
    """Latents (N, Z) -> images (N, 3, S, S) in (-1, 1), as in DCGAN (Radford et al. 2016)."""
    layers: list[nn.Module] = [nn.Unflatten(1, (LATENT, 1, 1)), nn.ConvTranspose2d(LATENT, WIDTH * 4, 4)]
    for ins, outs in ((4, 2), (2, 1)):
        layers += [nn.BatchNorm2d(WIDTH * ins), nn.ReLU(), nn.ConvTranspose2d(WIDTH * ins, WIDTH * outs, 4, 2, 1)]
    return nn.Sequential(*layers, nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.ConvTranspose2d(WIDTH, 3, 4, 2, 1), nn.Tanh())


def build_discriminator() -> nn.Module:
    """Images -> scores (N, 1), with spectral normalization (Miyato et al. 2018)."""
    layers: list[nn.Module] = []
    for ins, outs in ((3, WIDTH), (WIDTH, WIDTH * 2), (WIDTH * 2, WIDTH * 4)):
        layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(ins, outs, 4, 2, 1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTH * 4 * (SIZE // 8) ** 2, 1))


class Trainer:
    """Both networks, their optimizers, the EMA and the clock: all that a checkpoint has to hold."""

    def __init__(
        self, images: Tensor, seed: int = 0, batch: int = 32, lr: float = 2e-4, ema_images: int = 5000
    ) -> None:
        self.images, self.seed, self.batch, self.ema_images = images, seed, batch, ema_images
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.g, self.d = build_generator(), build_discriminator()
        self.ema = copy.deepcopy(self.g).requires_grad_(False).eval()
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), lr, (0.0, 0.9))
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), lr, (0.0, 0.9))
        self.clock = 0

    def latents(self, purpose: str, clock: int, count: int) -> Tensor:
        return torch.randn(count, LATENT, generator=rng(self.seed, purpose, clock))

    def step(self) -> dict[str, float]:
        """One update of each network with the hinge loss (Lim & Ye 2017)."""
        real = self.images[batch_indices(self.seed, self.clock, self.batch, len(self.images))]
        with torch.no_grad():
            fake = self.g(self.latents("d", self.clock, self.batch))
        d_loss = F.relu(1 - self.d(real)).mean() + F.relu(1 + self.d(fake)).mean()
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()

        g_loss = -self.d(self.g(self.latents("g", self.clock, self.batch))).mean()
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()

        self.clock += self.batch
        decay = 0.5 ** (self.batch / min(self.ema_images, self.clock / 20))  # half-life in images; short at the start
        for slow, fast in zip(self.ema.state_dict().values(), self.g.state_dict().values(), strict=True):
            slow.lerp_(fast, 1 - decay) if slow.is_floating_point() else slow.copy_(fast)
        return {"d": d_loss.item(), "g": g_loss.item()}

    def save(self, path: Path) -> None:
        """Write a checkpoint under another name, then rename it: the name always holds a whole one."""
        parts = ("g", "d", "ema", "g_optimizer", "d_optimizer")
        temporary = path.with_suffix(".new")
        torch.save({"clock": self.clock} | {name: getattr(self, name).state_dict() for name in parts}, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)  # never unpickle code from a file
        self.clock = state.pop("clock")
        for name, value in state.items():
            getattr(self, name).load_state_dict(value)

    def sample(self, count: int = 64) -> Tensor:
        """Images of the EMA generator, uint8 (N, S, S, 3), from the same latents at every clock."""
        with torch.no_grad():
            images = self.ema(self.latents("sample", 0, count))
        return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("minimal"))
    parser.add_argument("--images", type=int, default=100_000, help="length of the run in real images shown")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    trainer, checkpoint = Trainer(load_images(options.folder)), options.out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
    while trainer.clock < options.images:
        losses = trainer.step()
        if trainer.clock % 3200 == 0 or trainer.clock >= options.images:
            trainer.save(checkpoint)
            rows = trainer.sample().view(8, 8, SIZE, SIZE, 3).transpose(1, 2).reshape(8 * SIZE, 8 * SIZE, 3)
            Image.fromarray(rows.numpy()).save(options.out / f"{trainer.clock:07}.png")
            print(f"{trainer.clock:8,} images   D {losses['d']:.3f}   G {losses['g']:.3f}", flush=True)


if __name__ == "__main__":
    main()
