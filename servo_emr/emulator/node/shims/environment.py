"""The node's `python3 -m venv`: the standard one, whose `--system-site-packages` means the packages of the node.

The node's Python is itself a virtual environment, and one made by it would see only the interpreter below both. So
the node's packages are added by a .pth file once the standard library has done its work.

Usage, under the node's own interpreter: environment.py [the arguments of `python -m venv`]
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any


class NodeEnvironment(venv.EnvBuilder):
    """Makes virtual environments that see the node's packages when they are asked to see the system's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # The node's pip serves the environment too; a copy of it would cost seconds of every emulated bootstrap.
        self._lend_pip = bool(self.with_pip and self.system_site_packages and importlib.util.find_spec("pip"))
        if self._lend_pip:
            self.with_pip = False

    def create(self, env_dir: Any) -> None:
        """Make the environment, then let it see the node."""
        super().create(env_dir)
        if not self.system_site_packages:
            return
        folder = Path(env_dir).absolute()
        packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(folder)}))
        node = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (packages / "node.pth").write_text(node, encoding="utf-8")
        if self._lend_pip:
            python = shlex.quote(str(folder / "bin" / "python"))
            for name in ("pip", "pip3", f"pip3.{sys.version_info.minor}"):
                script = folder / "bin" / name
                script.write_text(f'#!/bin/sh\nexec {python} -m pip "$@"\n', encoding="utf-8")
                script.chmod(0o755)


if __name__ == "__main__":
    venv.EnvBuilder = NodeEnvironment  # type: ignore[misc]  # the name by which venv.main makes its builder
    venv.main()
