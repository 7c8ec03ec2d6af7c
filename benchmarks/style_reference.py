"""The layers of the StyleGANs written straight from their definitions: a kernel for each picture, zeros inserted and
convolved with. Same parameters, same pictures; what ``benchmarks.style`` measures kaogan's layers against."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.networks.stylegan import discriminator, layers, stylegan2, stylegan3


def twin(network: nn.Module) -> nn.Module:
    """A copy in float32 and the default layout whose layers work the straightforward way."""
    made = copy.deepcopy(network).float().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in made.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
    return made


def upfirdn(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int], gain: float) -> Tensor:
    count, channels, height, width = x.shape
    x = F.pad(x.reshape(count, channels, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
    x = F.pad(x.reshape(count, channels, height * up, width * up), padding * 2)
    taps = taps.flip(list(range(taps.dim()))) * gain ** (taps.dim() / 2)
    if taps.dim() == 2:
        x = F.conv2d(x, taps.repeat(channels, 1, 1, 1), groups=channels)
    else:
        x = F.conv2d(x, taps.repeat(channels, 1, 1, 1), groups=channels)
        x = F.conv2d(x, taps[:, None].repeat(channels, 1, 1, 1), groups=channels)
    return x[:, :, ::down, ::down]


def modulated(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    demodulate: bool,
    padding: int = 0,
    up: int = 1,
    taps: Tensor | None = None,
) -> Tensor:
    count = len(x)
    kernels = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, -1, *x.shape[2:])
    if up == 2 and taps is not None:
        kernels = kernels.transpose(1, 2).reshape(-1, *weight.shape[:1], *weight.shape[2:])
        x = F.conv_transpose2d(x, kernels, stride=2, groups=count)
        x = x.reshape(count, -1, *x.shape[2:])
        return upfirdn(x, taps, 1, 1, (1, 1), 4)
    x = F.conv2d(x, kernels.reshape(-1, *weight.shape[1:]), padding=padding, groups=count)
    return x.reshape(count, -1, *x.shape[2:])


def bias_act(x: Tensor, bias: Tensor | None, lrelu: bool, gain: float, clamp: float | None) -> Tensor:
    x = x if bias is None else x + bias[:, None, None]
    x = F.leaky_relu(x, 0.2) * math.sqrt(2) if lrelu else x
    x = x * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


class StyledConv(stylegan2.StyledConv):
    def forward(self, x: Tensor, w: Tensor, random: torch.Generator | None, gain: float = 1.0) -> Tensor:
        x = modulated(x, self.weight, self.affine(w), True, 1, self.up, self.resample_filter)
        if self.use_noise:
            x = x + self._noise(len(x), random) * self.noise_strength
        return bias_act(x, self.bias, True, gain, self.clamp)


class ToRGB(stylegan2.ToRGB):
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) / math.sqrt(self.weight.shape[1])
        return bias_act(modulated(x, self.weight, styles, False), self.bias, False, 1.0, self.clamp)


class Conv2d(layers.Conv2d):
    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        weight, kernel = self.weight / math.sqrt(self.weight[0].numel()), self.weight.shape[2]
        if self.down == 2:
            pad = 2 if kernel == 3 else 1
            x = upfirdn(x, self.resample_filter, 1, 1, (pad, pad), 1)
            x = F.conv2d(x, weight, stride=2)
        else:
            x = F.conv2d(x, weight, padding=kernel // 2)
        return bias_act(x, self.bias, self.activation == "lrelu", gain, self.clamp)


class Layer(stylegan3.Layer):
    def forward(self, x: Tensor, w: Tensor, update_emas: bool = False) -> Tensor:
        if update_emas:
            self.magnitude_ema.copy_(x.detach().square().mean().lerp(self.magnitude_ema, self.beta))
        styles, weight, kernel = self.affine(w), self.weight, self.weight.shape[2]
        if self.torgb:
            x = modulated(x * self.magnitude_ema.rsqrt(), weight, styles / math.sqrt(weight[0].numel()), False)
            return bias_act(x, self.bias, False, 1.0, self.clamp)
        weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        styles = styles * styles.square().mean().rsqrt()
        before = x.shape[2] + kernel - 1
        x = modulated(x * self.magnitude_ema.rsqrt(), weight, styles, True, kernel - 1)
        x = x + self.bias[:, None, None]
        assert self.up_filter is not None and self.down_filter is not None
        total = (self.size - 1) * self.down + 1 - before * self.up + len(self.up_filter) + len(self.down_filter) - 2
        p0 = (total + self.up) // 2
        x = upfirdn(x, self.up_filter, self.up, 1, (p0, total - p0), self.up**2)
        x = bias_act(x, None, True, 1.0, self.clamp)
        return upfirdn(x, self.down_filter, 1, self.down, (0, 0), 1)


PLAIN: dict[type, type] = {
    stylegan2.StyledConv: StyledConv,
    stylegan2.ToRGB: ToRGB,
    layers.Conv2d: Conv2d,
    stylegan3.Layer: Layer,
}
assert discriminator.Conv2d is layers.Conv2d
