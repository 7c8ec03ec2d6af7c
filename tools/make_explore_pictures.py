"""The pictures of docs/how-to/explore.md: runs the page's commands, in one process.

python -m tools.make_explore_pictures
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from kaogan import cli

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "how-to" / "explore.md"


def main() -> None:
    os.chdir(PAGE.with_suffix(""))
    blocks = re.findall(r"```\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("kaogan ")]
    for command in commands:
        print(command, flush=True)
        words = shlex.split(command.partition(" #")[0])
        sys.argv = [word.replace("docs/gallery", f"{DOCS}/gallery") for word in words]
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise


if __name__ == "__main__":
    main()
