"""Mean and covariance of real features in a file, as NVIDIA's programs, clean-fid and pytorch-fid exchange them.

An ``.npz`` with ``mu`` (D,) and ``sigma`` (D, D). Nothing in it is unpickled.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from kaogan.core.atomic_io import atomic, explain
from kaogan.core.errors import KaoganError, UsageError
from kaogan.metrics.fid import Gaussian
from kaogan.metrics.stats.moments import Moments

MAX_BYTES = 2**30


def read_statistics(path: Path) -> Gaussian:
    """Raises UsageError for a file that is not there, KaoganError for one that holds something else."""
    if not path.is_file():
        raise UsageError(f"no file {path}; --reference names an .npz with mu and sigma")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:  # as it is unpacked: zeros take a thousandth of that in the file
            raise ValueError("its arrays are larger than 1 GB")
        with np.load(path, allow_pickle=False) as opened:
            mean, covariance = (np.asarray(opened[key], np.float64) for key in ("mu", "sigma"))
    except OSError as error:
        raise explain(error, path) from error
    except Exception as error:  # a damaged zip of arrays raises more than is written anywhere, zlib.error too
        raise KaoganError(
            f"{path} holds no statistics of features ({' '.join(str(error).split())[:120]}); it must be an .npz of mu "
            "(D,) and sigma (D, D); a .pkl has to be converted where it comes from"
        ) from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise KaoganError(f"{path}: mu is {mean.shape} and sigma {covariance.shape}, not (D,) and (D, D)")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise KaoganError(f"{path} holds numbers that are not finite")
    return Gaussian(mean, covariance)


def write_statistics(path: Path, features: np.ndarray) -> None:
    """Those of features (N, D), N >= 2. Raises KaoganError."""
    moments = Moments.of(features)
    try:
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, mu=moments.mean, sigma=moments.covariance)
    except OSError as error:
        raise explain(error, path) from error
