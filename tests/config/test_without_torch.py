"""Reading what a recipe is does not wait for PyTorch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["kaogan.config.recipe", "kaogan.config.recipes", "kaogan.networks"])
def test_importing_settings_imports_no_torch(module: str) -> None:
    program = f"import sys, {module}; print(*{{'torch', 'numpy'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_settings_is_quick() -> None:
    program = "import time, kaogan.config.recipe; print(time.process_time())"
    seconds = min(float(subprocess.check_output([sys.executable, "-c", program], text=True)) for _ in range(3))
    assert seconds < 0.5  # about 0.17 s; PyTorch alone takes more than one
