"""StyleGAN2 and StyleGAN3 in plain PyTorch: equal weights give the pictures of the originals.

Written from the papers (Karras et al. 2020 and 2021); names and shapes of all parameters and buffers are the published
ones, see docs/how-to/style.md.
"""

from kaogan.networks.stylegan.discriminator import StyleGAN2Discriminator, StyleGAN2DiscriminatorSettings
from kaogan.networks.stylegan.mapping import StyleGenerator, is_style_generator
from kaogan.networks.stylegan.stylegan2 import StyleGAN2Generator, StyleGAN2GeneratorSettings
from kaogan.networks.stylegan.stylegan3 import StyleGAN3Generator, StyleGAN3GeneratorSettings

__all__ = [
    "StyleGAN2Discriminator",
    "StyleGAN2DiscriminatorSettings",
    "StyleGAN2Generator",
    "StyleGAN2GeneratorSettings",
    "StyleGAN3Generator",
    "StyleGAN3GeneratorSettings",
    "StyleGenerator",
    "is_style_generator",
]
