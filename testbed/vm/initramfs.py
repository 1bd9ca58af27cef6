"""What the machine's kernel starts with: busybox, the modules that reach the root, and scripts."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from testbed.vm.packages import Kernel

INIT: Final = Path(__file__).with_name("init.sh")

_MODULES: Final = ("virtio_pci", "virtio_console", "virtio_blk", "virtiofs", "overlay")
_INDEX: Final = ("modules.dep", "modules.alias", "modules.symbols")


def build(kernel: Kernel, command: str) -> bytes:
    """Return an archive (newc) whose /init mounts the root and runs the shell text `command`."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for directory in ("bin", "dev", "proc", "sys", "host", "own", "new"):
            (tree / directory).mkdir()
        (tree / "bin/busybox").write_bytes(kernel.busybox.read_bytes())
        (tree / "bin/busybox").chmod(0o755)
        (tree / "init").write_bytes(INIT.read_bytes())
        (tree / "init").chmod(0o755)
        (tree / "command").write_text(command)
        # Read by init.sh: the modules of this kernel lie outside the directories of the root.
        (tree / "modules").write_text(str(kernel.modules))
        target = tree / "lib/modules" / kernel.release
        for file in (*_INDEX, *needed((kernel.modules / "modules.dep").read_text())):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).write_bytes((kernel.modules / file).read_bytes())
        files = "".join(f"{each.relative_to(tree)}\n" for each in sorted(tree.rglob("*")))
        packed = subprocess.run(
            [str(kernel.busybox), "cpio", "-o", "-H", "newc"],
            cwd=tree,
            input=files.encode(),
            capture_output=True,
            check=True,
        )
        return packed.stdout


def needed(dependencies: str) -> list[str]:
    """Files of the modules above and all they depend on, from the text of modules.dep."""
    entries = dict(line.split(":", 1) for line in dependencies.splitlines())
    stems = {Path(file).name.split(".")[0]: file for file in entries}
    files: dict[str, None] = {}
    for module in _MODULES:
        file = stems.get(module)
        if file is not None:  # else it is built in
            files |= dict.fromkeys((file, *entries[file].split()))
    return list(files)
