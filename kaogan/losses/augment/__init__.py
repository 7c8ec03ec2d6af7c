"""Augmentation of what the discriminator sees, through which the generator's gradients pass.

``ada`` is the pipeline of Karras et al. 2020b, "Training generative adversarial networks with limited data": each
transformation fires with a probability p, so that below about 0.8 the distribution of the pictures can be told from
that of the augmented ones. ``diffaugment`` is Zhao et al. 2020. All randomness comes from the given generator.
"""

from kaogan.losses.augment.ada import Ada
from kaogan.losses.augment.blur import blur
from kaogan.losses.augment.diffaugment import diff_augment

__all__ = ["Ada", "blur", "diff_augment"]
