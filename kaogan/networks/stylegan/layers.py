"""The layers of StyleGAN2 and StyleGAN3: equalised learning rates, modulated convolutions, biased activations."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.networks.layers import full_precision
from kaogan.networks.stylegan.filters import prepare_filter
from kaogan.networks.stylegan.resampling import downsample, upfirdn, upsample

SLOPE = 0.2
RESAMPLE = (1, 3, 3, 1)  # the filter of all of StyleGAN2's resampling
FEW = 16  # channels in half a vector of bf16

Activation = Literal["linear", "lrelu"]


def normalise_second_moment(x: Tensor) -> Tensor:
    """Rows (N, F) divided by their root mean square."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Linear(nn.Module):
    """An equalised linear layer, (N, in) -> (N, out), in the precision of its weights even under autocast.

    ``lr_multiplier`` λ: stored weights are 1/λ of their size, so that an optimiser moves what is used λ times as fast.
    ``lrelu`` is a leaky ReLU of slope 0.2, times √2. Karras et al. 2018 and 2019.
    """

    def __init__(
        self, inputs: int, outputs: int, *, activation: Activation = "linear", lr_multiplier: float = 1.0,
        weight_init: float = 1.0, bias_init: float | list[float] = 0.0,
    ):  # fmt: skip
        super().__init__()
        self.activation, self.lr_multiplier = activation, lr_multiplier
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (weight_init / lr_multiplier))
        bias = torch.broadcast_to(torch.tensor(bias_init, dtype=torch.float32), (outputs,))
        self.bias = nn.Parameter(bias / lr_multiplier)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.lr_multiplier / math.sqrt(self.weight.shape[1])
        bias = self.bias if self.lr_multiplier == 1 else self.bias * self.lr_multiplier
        with full_precision(x):
            x = x.to(self.weight.dtype)
            if x.device.type == "cpu":
                x = F.linear(x * scale, self.weight, bias)
            else:  # in one launch
                x = torch.addmm(bias, x, self.weight.t(), alpha=scale)
            return F.leaky_relu(x, SLOPE) * math.sqrt(2) if self.activation == "lrelu" else x


class Conv2d(nn.Module):
    """StyleGAN2's plain convolution with resampling and an equalised learning rate; odd kernel, "same" padding.

    ``up`` and ``down`` are 1 or 2. With ``trainable`` false its weights are buffers of the same names (Freeze-D, Mo et
    al. 2020).
    """

    resample_filter: Tensor
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, bias: bool = True, activation: Activation = "linear",
        up: int = 1, down: int = 1, clamp: float | None = None, trainable: bool = True,
    ):  # fmt: skip
        super().__init__()
        self.activation, self.up, self.down, self.clamp = activation, up, down, clamp
        self.register_buffer("resample_filter", prepare_filter(RESAMPLE))
        self._hold("weight", torch.randn(outputs, inputs, kernel, kernel), trainable)
        self._hold("bias", torch.zeros(outputs) if bias else None, trainable)

    def _hold(self, name: str, value: Tensor | None, trainable: bool) -> None:
        if trainable or value is None:
            self.register_parameter(name, None if value is None else nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """``gain`` multiplies the result and its limits."""
        full = gain * (math.sqrt(2) if self.activation == "lrelu" else 1.0)
        # A leaky ReLU passes a positive factor on: the gain costs least where it is a factor of the weights.
        weight = self.weight * (full / math.sqrt(self.weight[0].numel()))
        bias = None if self.bias is None else self.bias * full
        x = resampled_conv2d(x, weight, self.resample_filter, self.up, self.down, bias)
        return activate_and_clamp(x, self.activation, None if self.clamp is None else self.clamp * gain)


def activate_and_clamp(x: Tensor, activation: Activation, clamp: float | None) -> Tensor:
    """A leaky ReLU in place, unless linear, then the limits."""
    if activation == "lrelu":
        x = F.leaky_relu(x, SLOPE, inplace=True)
    return x if clamp is None else x.clamp(-clamp, clamp)


def resampled_conv2d(
    x: Tensor, weight: Tensor, taps: Tensor, up: int = 1, down: int = 1, bias: Tensor | None = None
) -> Tensor:
    """A convolution behind an upsampling or before a downsampling by 2, with the 4-tap filter ``taps``.

    (N, I, H, W), weight (O, I, k, k), k = 1 or 3 -> (N, O, H up/down, W up/down). As in the original, a 3×3 kernel is
    applied as a true convolution where ``up`` is 2 and as a correlation elsewhere.
    """
    kernel = weight.shape[2]
    if up == 2:
        if kernel == 1:
            x = upsample(F.conv2d(x, weight), taps)
        else:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = upfirdn(x, taps, padding=(1, 1, 1, 1), gain=4)
        return x if bias is None else x + bias.to(x.dtype)[:, None, None]
    if down == 2:
        if kernel == 1:
            return F.conv2d(downsample(x, taps), weight, bias)
        return F.conv2d(upfirdn(x, taps, padding=(2, 2, 2, 2)), weight, bias, stride=2)
    return F.conv2d(x, weight, bias, padding=kernel // 2)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """The factors (N, O) that give every kernel of ``weight`` (O, I, k, k) under ``styles`` (N, I) unit norm."""
    with full_precision(weight):
        return (styles.square() @ weight.square().sum((2, 3)).t() + 1e-8).rsqrt()


def scale_channels(x: Tensor, factors: Tensor, bias: Tensor | None = None) -> Tensor:
    """Maps (N, C, H, W) times (N, C), plus a bias (C,), in the precision of the maps.

    Scaling a convolution's input by the styles and its output by the demodulation is the same as a kernel for each
    picture, but leaves one dense convolution of the whole batch.
    """
    factors = factors.to(x.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    count, channels, height, width = x.shape
    if channels >= FEW or not x.is_contiguous(memory_format=torch.channels_last):
        factors = factors[:, :, None, None]
        return x * factors if bias is None else torch.addcmul(bias[:, None, None], x, factors)
    # A few channels do not fill a vector; a line of pixels, each with its channels, does.
    lines = x.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    factors = factors.repeat(1, width)[:, None]
    lines = lines * factors if bias is None else torch.addcmul(bias.repeat(width), lines, factors)
    return lines.view(count, height, width, channels).permute(0, 3, 1, 2)
