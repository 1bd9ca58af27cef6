"""`controld --config FILE` runs; `controld init` and the other commands are in cli."""

from __future__ import annotations

import sys
from pathlib import Path

from controld import cli
from controld.config import ControldConfig
from controld.server import run
from rclib.runtime.service import Service, run_service

SERVICE = Service(
    name="controld",
    description=f"The control plane of remoteconnect. Other {cli.HELP}.",
    config_type=ControldConfig,
    run=run,
    default_config_path=Path("/etc/remoteconnect/controld.toml"),
)


def main() -> None:
    arguments = sys.argv[1:]
    if arguments and arguments[0] in cli.COMMANDS:
        sys.exit(cli.main(arguments))
    sys.exit(run_service(SERVICE, arguments))


if __name__ == "__main__":
    main()
