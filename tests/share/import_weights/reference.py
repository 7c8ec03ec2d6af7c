"""The source programs' generators in plain PyTorch and NumPy, from the tables of their layers, with their names.

Nothing of kaogan is used here: these are what an import is compared with.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


def randomise(network: nn.Module, seed: int = 0, tune: bool = True) -> nn.Module:
    """Weights and running statistics that are all different, so that no two can be exchanged unseen; pictures that
    are neither grey nor saturated, which would hide differences or blow them up."""
    generator = torch.Generator().manual_seed(seed)
    maps = [name for name, tensor in network.state_dict().items() if tensor.ndim == 4]
    last = [name for name in maps if not name.startswith(("attn", "proj"))][-1]
    for name, tensor in network.state_dict().items():
        if not tensor.dtype.is_floating_point:
            tensor.fill_(7)
        elif name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif tensor.ndim >= 2 and not name.endswith(("_u", "_v")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5)
        elif name.endswith(("weight", "gamma")) and tensor.ndim == 1:
            tensor.copy_(0.7 + 0.6 * torch.rand(tensor.shape, generator=generator))
        elif not name.endswith(("_u", "_v")):
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
    weights = network.state_dict()
    for _ in range(50 if tune else 0):
        spread = _spread(network)
        if 0.2 < spread < 0.6:
            return network
        weights[last].mul_(1.3 if spread < 0.2 else 0.7)
    assert not tune, "no contrast"
    return network.eval()


def _spread(network: nn.Module) -> float:
    network.eval()
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(2, network.latent, generator=generator)  # type: ignore[arg-type]
    code = [torch.eye(network.classes)[:2]] if getattr(network, "classes", 0) else []  # type: ignore[arg-type]
    with torch.no_grad():
        return float(network(z, *code).std())


# B


class SelfAttention(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = (layer(x).reshape(n, -1, h * w) for layer in (self.query, self.key, self.value))
        attention = torch.softmax(torch.einsum("ndi,ndj->nij", q, k), dim=2)  # rows: queries
        return self.gamma * torch.einsum("ncj,nij->nci", v, attention).reshape(n, c, h, w) + x


class BaMSGAN(nn.Module):
    def __init__(self, width: int = 64, latent: int = 100):
        super().__init__()
        self.latent = latent
        widths = [latent, 8 * width, 4 * width, 2 * width, width]
        for number in range(4):
            before, after = widths[number], widths[number + 1]
            conv = nn.ConvTranspose2d(before, after, 4) if not number else nn.ConvTranspose2d(before, after, 4, 2, 1)
            size = 4 << number
            setattr(
                self,
                f"l{number + 1}",
                nn.Sequential(spectral_norm(conv), nn.LayerNorm([after, size, size]), nn.ReLU()),
            )
        self.last = nn.Sequential(nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())
        self.attn1, self.attn2 = SelfAttention(2 * width), SelfAttention(width)

    def forward(self, z: Tensor) -> Tensor:
        x = self.l3(self.l2(self.l1(z[:, :, None, None])))
        return self.last(self.attn2(self.l4(self.attn1(x))))


# A


class ResBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class Colorizer(nn.Module):
    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.net = nn.Sequential(OrderedDict((f"res_block_{i + 1}", ResBlock(channels)) for i in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class ACGAN(nn.Module):
    def __init__(self, width: int = 128, latent: int = 100, classes: int = 22, blocks: int = 0):
        super().__init__()
        self.latent, self.classes = latent, classes
        layers: list[nn.Module] = []
        before = latent + classes
        for number, after in enumerate((8 * width, 4 * width, 2 * width, width)):
            step = () if not number else (2, 1)
            layers += [nn.ConvTranspose2d(before, after, 4, *step, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        if blocks:
            half = width // 2
            layers += [nn.ConvTranspose2d(width, half, 4, 2, 1), nn.BatchNorm2d(half), nn.ReLU()]
            layers += [Colorizer(half, blocks), nn.Conv2d(half, 3, 1)]
        else:
            layers.append(nn.ConvTranspose2d(width, 3, 4, 2, 1))
        self.gen = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor, code: Tensor) -> Tensor:
        return self.gen(torch.cat((z, code), 1)[:, :, None, None])


# G


class GDCGAN(nn.Module):
    def __init__(self, width: int = 64, latent: int = 128):
        super().__init__()
        self.latent = latent
        layers: list[nn.Module] = []
        before = latent
        for number, after in enumerate((8 * width, 4 * width, 2 * width, width)):
            step = (1, 0) if not number else (2, 1)
            layers += [nn.ConvTranspose2d(before, after, 4, *step, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)]
            before = after
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(before, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z[:, :, None, None])


class GenRes(nn.Module):
    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after, 0.8), nn.LeakyReLU(0.2))
        self.conv2 = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1), nn.BatchNorm2d(after, 0.8))
        self.proj = nn.Conv2d(before, after, 1) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)) + (x if self.proj is None else self.proj(x))


class Pixel(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, 1, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.shuffle(self.conv(x))))


class Transpose(nn.Module):
    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.PReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Generator2(nn.Module):
    def __init__(self, base: int = 1024, transposed: bool = False):
        super().__init__()
        self.base, self.latent = base, 128
        self.fc = nn.Linear(128, base * 16)
        layers: list[nn.Module] = []
        width = base
        for _ in range(4):
            if transposed:
                layers += [GenRes(width, width), nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)]
                layers += [nn.BatchNorm2d(width // 2), nn.LeakyReLU(0.2)]
            else:
                layers += [GenRes(width, width // 2), nn.Upsample(scale_factor=2, mode="bilinear")]
            width //= 2
        self.G = nn.Sequential(*layers, GenRes(width, width), nn.Conv2d(width, 3, 9, padding=4), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.G(self.fc(z).reshape(-1, self.base, 4, 4))


class Generator3(nn.Module):
    """generator_3, 3_0_1 ... 3_0_4, 3_1, 3_1_1 and wgan."""

    def __init__(
        self, base: int = 64, blocks: int = 8, latent: int = 128, widen: tuple[int, ...] = (), kind: str = "pixel"
    ):
        super().__init__()
        self.latent = latent
        self.base, self.start = base, 4 if kind == "deep" else 16
        self.fc = nn.Linear(latent, base * self.start**2)
        self.b1 = nn.Sequential(nn.BatchNorm2d(base), nn.LeakyReLU(0.2))
        width, trunk = base, []
        for index in range(blocks):
            after = 2 * width if index in widen else width
            trunk.append(GenRes(width, after))
            width = after
        self.resBlocks = nn.Sequential(*trunk, nn.BatchNorm2d(width), nn.PReLU())
        ending: list[nn.Module]
        if kind == "pixel":
            ending = [Pixel(width), Pixel(width), nn.Conv2d(width, 3, 9, padding=4)]
        elif kind == "transpose":
            ending = [Transpose(width, width // 2), Transpose(width // 2, width // 4)]
            ending.append(nn.Conv2d(width // 4, 3, 9, padding=4))
        else:
            ending = [Pixel(width)]
            for _ in range(3):
                ending += [GenRes(width, width), GenRes(width, width // 2), Pixel(width // 2)]
                width //= 2
            ending.append(nn.Conv2d(width, 3, 9, padding=4))
        self.ending = nn.Sequential(*ending, nn.Tanh())
        if widen:
            self.proj = nn.Conv2d(base, base << len(widen), 1)

    def forward(self, z: Tensor) -> Tensor:
        first = self.b1(self.fc(z).reshape(-1, self.base, self.start, self.start))
        skip = self.proj(first) if hasattr(self, "proj") else first
        return self.ending(self.resBlocks(first) + skip)


# S


class StarsFace(nn.Module):
    def __init__(self, width: int = 1024, latent: int = 100):
        super().__init__()
        self.latent = latent
        layers: list[nn.Module] = []
        before = latent
        for number in range(4):
            step = (1, 0) if not number else (2, 1)
            layers += [nn.ConvTranspose2d(before, width >> number, 4, *step), nn.BatchNorm2d(width >> number)]
            layers.append(nn.ReLU(True))
            before = width >> number
        self.main_module = nn.Sequential(*layers, nn.ConvTranspose2d(before, 3, 4, 2, 1))

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.main_module(z[:, :, None, None]))


class StarsFaceP(nn.Module):
    def __init__(self, width: int = 768, latent: int = 100):
        super().__init__()
        self.latent = latent
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, width, 4), nn.BatchNorm2d(width), nn.ReLU(True)]
        for _ in range(3):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width // 2, 3, padding=1)]
            layers += [nn.BatchNorm2d(width // 2), nn.ReLU(True)]
            width //= 2
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, 3, 3, padding=1)]
        self.main_module = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.main_module(z[:, :, None, None]))


class Block256(nn.Module):
    def __init__(self, channels: int, factor: int = 2):
        super().__init__()
        self.factor = factor
        self.conv1 = nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * channels)
        self.conv2 = nn.Conv2d(2 * channels, channels, 4, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pixel_shuffle(x, self.factor)
        y = nn.functional.interpolate(x, scale_factor=4, mode="nearest")
        return x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(y)))))


class StarsFace256(nn.Module):
    def __init__(self, width: int = 1024, latent: int = 100):
        super().__init__()
        self.latent = latent
        self.main_module = nn.Sequential(
            nn.ConvTranspose2d(latent, width, 4), nn.BatchNorm2d(width), nn.ReLU(),
            Block256(width // 4), Block256(width // 16), Block256(width // 64),
            nn.ConvTranspose2d(width // 64, 48, 4, 2, 1), nn.BatchNorm2d(48), nn.ReLU(),
            Block256(3, 4),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.main_module(z[:, :, None, None]))


# K


def keras_weights(size: int = 16, latent: int = 8, channels: int = 3, seed: int = 0, widths: tuple = (32, 512)) -> list:
    """The arrays of the Keras generator in ``get_weights()`` order, random."""
    rng = np.random.default_rng(seed)
    ups, start = 0, size
    while start > 7 and start % 2 == 0:
        start, ups = start // 2, ups + 1
    filters = [channels] + [min(widths[0] * 2**i, widths[1]) for i in range(ups + 1)]
    filters = filters[::-1]
    first = filters[0]
    arrays = [rng.normal(0, latent**-0.5, (latent, start * start * first)), rng.normal(0, 0.1, start * start * first)]
    before = first
    for after in filters:
        arrays += [rng.uniform(0.7, 1.3, before), rng.normal(0, 0.2, before), rng.normal(0, 0.2, before)]
        arrays.append(rng.uniform(0.001, 0.1, before))  # so small that epsilon shows
        arrays += [rng.normal(0, 0.1 * before**-0.5, (5, 5, after, before)), rng.normal(0, 0.1, after)]
        before = after
    return [array.astype(np.float32) for array in arrays]


def transposed_same(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's Conv2DTranspose, 'same': (N, H, W, C), kernel (5, 5, out, in), written as the scattering it is.

    The whole result has 5 - stride rows too many; 'same' cuts off half of them, the smaller half, at the top and left.
    """
    n, h, w, _ = x.shape
    whole = np.zeros((n, (h - 1) * stride + 5, (w - 1) * stride + 5, kernel.shape[2]))
    for i in range(5):
        for j in range(5):
            whole[:, i : i + h * stride : stride, j : j + w * stride : stride] += x @ kernel[i, j].T
    cut = (5 - stride) // 2
    return whole[:, cut : cut + h * stride, cut : cut + w * stride] + bias


def keras_generator(arrays: list, z: np.ndarray, epsilon: float = 1e-3) -> np.ndarray:
    """Pictures (N, H, W, C) in [0, 1]."""
    arrays = [array.astype(np.float64) for array in arrays]
    first = arrays[2].shape[0]
    x = z @ arrays[0] + arrays[1]
    side = round((x.shape[1] // first) ** 0.5)
    x = x.reshape(-1, side, side, first)
    count = len(arrays) // 6
    for number in range(count):
        gamma, beta, mean, var, kernel, bias = arrays[2 + 6 * number : 8 + 6 * number]
        x = np.maximum((x - mean) / np.sqrt(var + epsilon) * gamma + beta, 0)
        x = transposed_same(x, kernel, bias, 2 if number < count - 2 else 1)
    return 1 / (1 + np.exp(-x))
