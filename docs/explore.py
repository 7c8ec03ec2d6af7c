"""Runs the commands of explore.md in its folder, in one process: how its pictures were made.

python docs/explore.py
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from kaogan import cli

HERE = Path(__file__).resolve().parent


def main() -> None:
    os.chdir(HERE)
    blocks = re.findall(r"```\n(.*?)```", Path("explore.md").read_text(encoding="utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("kaogan ")]
    for command in commands:
        print(command, flush=True)
        sys.argv = shlex.split(command.partition(" #")[0])
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise


if __name__ == "__main__":
    main()
