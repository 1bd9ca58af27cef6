"""`rcc`: enroll this computer, connect by a link, see and end the session."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rcc import commands
from rcc.config import DEFAULT_PATH, RccConfig
from rclib.runtime.config import load_config
from rclib.runtime.errors import OperatorError
from rclib.runtime.logs import configure_logging
from rclib.runtime.loop import new_event_loop
from rclib.runtime.version import suite_version

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    configure_logging(arguments.log_level)
    path = arguments.config or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)
    try:
        config = load_config(RccConfig, path)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            match arguments.command:
                case "enroll":
                    return runner.run(commands.enroll(config, arguments.server, arguments.code))
                case "connect":
                    return runner.run(commands.connect(config, arguments.link))
                case "agent":
                    return runner.run(commands.agent(config))
                case "status":
                    return runner.run(commands.status(config))
                case _:
                    return runner.run(commands.disconnect(config, arguments.session))
    except OperatorError as exc:
        sys.stderr.write(f"rcc: {exc}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rcc", description=__doc__)
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {DEFAULT_PATH}")
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--version", action="version", version=f"%(prog)s {suite_version()}")
    verbs = parser.add_subparsers(dest="command", required=True)
    enroll = verbs.add_parser("enroll", help="make this computer known, once")
    enroll.add_argument("server", help="https://HOST[:PORT]")
    enroll.add_argument("code", help="the one-time code from the portal")
    connect = verbs.add_parser("connect", help="start the session of a remoteconnect: link")
    connect.add_argument("link")
    verbs.add_parser(
        "agent", help="stay, linked to the control plane, so that sessions start at once"
    )
    verbs.add_parser("status", help="print the running sessions as JSON, a line for each")
    end = verbs.add_parser("disconnect", help="end a running session")
    end.add_argument("session", nargs="?", help="which one, if several run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
