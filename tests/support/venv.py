"""An environment of its own that sees what this one has, so that packages are installed into it without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Venv:
    """Made in a folder; commands run in the folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
        seen = [ROOT, ROOT / "plugins", ROOT / "bridges", sysconfig.get_path("purelib")]
        [site] = (folder / "lib").glob("python*/site-packages")
        (site / "seen.pth").write_text("".join(f"{path}\n" for path in seen))
        self.environment = {**os.environ, "PYTHONPATH": "", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        for name, module in {"crust": "crust.cli.main", "pip": "pip"}.items():
            (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {module} "$@"\n')
            (folder / "bin" / name).chmod(0o755)

    def python(self, *arguments: str) -> str:
        """What Python says there."""
        done = subprocess.run(
            [str(self.folder / "bin" / "python"), *arguments], cwd=self.folder.parent, env=self.environment, text=True, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
