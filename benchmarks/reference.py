"""Plain training loops, written in the way of PyTorch's own DCGAN example, to measure and to test kaogan against.

https://github.com/pytorch/examples/blob/main/dcgan/main.py: float32, the default layout, a folder of pictures behind a
DataLoader, Adam as it comes, one ``backward`` for the reals and one for the fakes. Nothing here is clever on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Penalty = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


class ImageFolder(Dataset[Tensor]):
    """Pictures below a folder, each decoded on access: resize, centre crop, to [-1, 1]. (3, S, S)."""

    def __init__(self, folder: Path, image_size: int) -> None:
        self.paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as opened:
            picture = opened.convert("RGB")
        scale = self.image_size / min(picture.size)
        width, height = (max(self.image_size, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - self.image_size) // 2, (height - self.image_size) // 2
        picture = picture.crop((left, top, left + self.image_size, top + self.image_size))
        values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float() / 255
        return (values - 0.5) / 0.5


def loader(folder: Path, image_size: int, batch_size: int, workers: int = 2) -> DataLoader[Tensor]:
    """The example's DataLoader: two workers, a new order for each epoch."""
    return DataLoader(ImageFolder(folder, image_size), batch_size, shuffle=True, num_workers=workers, drop_last=True)


def stages(image_size: int) -> int:
    """How often a map of 4 px doubles until it is one step short of the picture."""
    return (image_size // 4).bit_length() - 1


class Generator(nn.Module):
    """Latents (N, Z, 1, 1) -> pictures (N, 3, S, S): the example's ``Generator``, ``bias`` for StarsFace-WGAN-GP's."""

    def __init__(self, latent_size: int = 100, width: int = 64, image_size: int = 64, bias: bool = False) -> None:
        super().__init__()
        deepest = width * 2 ** (stages(image_size) - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_size, deepest, 4, 1, 0, bias=bias)]
        while deepest > width:
            layers += [nn.BatchNorm2d(deepest), nn.ReLU(True)]
            layers += [nn.ConvTranspose2d(deepest, deepest // 2, 4, 2, 1, bias=bias)]
            deepest //= 2
        layers += [nn.BatchNorm2d(width), nn.ReLU(True), nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=bias), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, noise: Tensor) -> Tensor:
        return self.main(noise)


class Discriminator(nn.Module):
    """Pictures (N, 3, S, S) -> the probability of being real (N,): the example's ``Discriminator``."""

    def __init__(self, width: int = 64, image_size: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        for _ in range(stages(image_size) - 1):
            layers += [nn.Conv2d(width, width * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 2)]
            layers += [nn.LeakyReLU(0.2, True)]
            width *= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, pictures: Tensor) -> Tensor:
        return self.main(pictures).view(-1)


class Critic(nn.Module):
    """Pictures (N, 3, S, S) -> scores (N,): StarsFace-WGAN-GP's, with instance norm and biases, without a sigmoid."""

    def __init__(self, width: int = 64, image_size: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for _ in range(stages(image_size)):
            layers += [nn.Conv2d(before, width, 4, 2, 1), nn.InstanceNorm2d(width, affine=True)]
            layers += [nn.LeakyReLU(0.2, True)]
            before, width = width, width * 2
        self.main = nn.Sequential(*layers, nn.Conv2d(before, 1, 4, 1, 0))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.main(pictures).view(-1)


class DCGANLoop:
    """One ``step`` is the inside of the example's loop."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, lr: float = 2e-4) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.criterion = nn.BCELoss()
        self.optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.999))
        self.optimizer_g = torch.optim.Adam(generator.parameters(), lr=lr, betas=(0.5, 0.999))

    def step(self, real: Tensor, noise: Tensor) -> tuple[float, float]:
        """Real pictures (N, 3, S, S) and noise (N, Z) -> the losses of the discriminator and of the generator."""
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))

        # (1) Update D: maximise log(D(x)) + log(1 - D(G(z))).
        self.discriminator.zero_grad()
        loss_real = self.criterion(self.discriminator(real), ones)
        loss_real.backward()
        fake = self.generator(noise[:, :, None, None])
        loss_fake = self.criterion(self.discriminator(fake.detach()), zeros)
        loss_fake.backward()
        self.optimizer_d.step()

        # (2) Update G: maximise log(D(G(z))).
        self.generator.zero_grad()
        loss_g = self.criterion(self.discriminator(fake), ones)
        loss_g.backward()
        self.optimizer_g.step()
        return (loss_real + loss_fake).item(), loss_g.item()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Mean of (|d score / d picture| - 1)^2, the norm over a whole picture (Gulrajani et al. 2017, eq. 3)."""
    share = share.view(-1, 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    scores = critic(between)
    (gradients,) = torch.autograd.grad(scores, between, grad_outputs=torch.ones_like(scores), create_graph=True)
    norms = gradients.view(len(gradients), -1).norm(2, dim=1)
    return ((norms - 1) ** 2).mean()


class WGANGPLoop:
    """``critic_step`` five times with five batches, then ``generator_step``."""

    def __init__(
        self, generator: nn.Module, critic: nn.Module, lr: float = 1e-4, penalty: Penalty = gradient_penalty
    ) -> None:
        self.generator, self.critic, self.penalty = generator, critic, penalty
        self.optimizer_d = torch.optim.Adam(critic.parameters(), lr=lr, betas=(0.5, 0.999))
        self.optimizer_g = torch.optim.Adam(generator.parameters(), lr=lr, betas=(0.5, 0.999))

    def critic_step(self, real: Tensor, noise: Tensor, share: Tensor) -> float:
        """Real pictures (N, 3, S, S), noise (N, Z) and the shares of the reals (N,) -> the loss."""
        self.critic.zero_grad()
        fake = self.generator(noise[:, :, None, None]).detach()
        loss = self.critic(fake).mean() - self.critic(real).mean()
        loss = loss + 10 * self.penalty(self.critic, real, fake, share)
        loss.backward()
        self.optimizer_d.step()
        return loss.item()

    def generator_step(self, noise: Tensor) -> float:
        self.generator.zero_grad()
        loss = -self.critic(self.generator(noise[:, :, None, None])).mean()
        loss.backward()
        self.optimizer_g.step()
        return loss.item()


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy all weights and statistics, in order, between networks of the same layers under other names."""
    own, other = source.state_dict(), target.state_dict()
    for (name, value), (_, copy) in zip(own.items(), other.items(), strict=True):
        if value.shape != copy.shape:
            raise ValueError(f"{name} is {tuple(value.shape)} here and {tuple(copy.shape)} there")
        copy.copy_(value)
