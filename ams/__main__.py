"""`ams`: serve the gateway's local page; `ams reset-password` for who stands at the gateway."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ams.config import DEFAULT_PATH, AmsConfig
from ams.door import password_path
from ams.passwords import PasswordFile
from ams.server import run
from rclib.runtime.config import load_config
from rclib.runtime.errors import OperatorError
from rclib.runtime.service import Service, run_service


def main() -> int:
    if sys.argv[1:2] == ["reset-password"]:
        return _reset_password(sys.argv[2:])
    return run_service(Service("ams", __doc__ or "", AmsConfig, run, DEFAULT_PATH))


def _reset_password(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ams reset-password")
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH)
    try:
        config = load_config(AmsConfig, parser.parse_args(argv).config)
        was_there = PasswordFile(password_path(Path(config.state_dir))).remove()
    except (OperatorError, OSError) as exc:
        sys.stderr.write(f"ams: {exc}\n")
        return 2
    if not was_there:
        sys.stdout.write("no password was set; the next visit to the page sets one\n")
        return 0
    sys.stdout.write(
        "the password is gone and everyone is logged out; the next visit to the page sets "
        "a new one\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
