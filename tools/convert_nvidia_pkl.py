"""A StyleGAN2 or StyleGAN3 ``.pkl`` of NVIDIA's programs as plain tensors that ``kaogan import`` reads.

    cd stylegan3            # the program that wrote the file: its pickle needs dnnlib and torch_utils
    python convert_nvidia_pkl.py network.pkl network.pth
    kaogan import network.pth --as stylegan

Needs that program and PyTorch, not kaogan. Loading a pickle runs what is in it: only for files that you trust.
"""

import pickle
import sys
from pathlib import Path


def convert(source: Path, target: Path) -> int:
    """Write the tensors of ``G_ema`` to ``target``; returns how many."""
    import torch

    with source.open("rb") as file:
        networks = pickle.load(file)
    generator = networks["G_ema"] if isinstance(networks, dict) else networks
    tensors = {name: value.detach().cpu() for name, value in generator.state_dict().items()}
    torch.save(tensors, target)
    return len(tensors)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python convert_nvidia_pkl.py NETWORK.pkl OUT.pth")
    try:
        print(f"{sys.argv[2]}: {convert(Path(sys.argv[1]), Path(sys.argv[2]))} tensors")
    except ModuleNotFoundError as error:
        sys.exit(f"no module '{error.name}': run this in the folder of the program that wrote the file")
