"""`rcc`: enroll this computer, connect by a link, see and end the session."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rcc import commands
from rcc.config import DEFAULT_PATH, RccConfig
from rclib.runtime.config import load_config
from rclib.runtime.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFAULT_TRUST: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where OpenSSL looks up what names its default certificates."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    path = arguments.config or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)
    try:
        config = load_config(RccConfig, path)
        match arguments.command:
            case "status":
                return commands.status(config)
            case "disconnect":
                return commands.disconnect(config, arguments.session)
            case "connect":
                exit_status = commands.connect(config, arguments.link)
                if exit_status is not None:
                    return exit_status
        return _by_itself(config, arguments)
    except OperatorError as exc:
        sys.stderr.write(f"rcc: {exc}\n")
        return 2


def _by_itself(config: RccConfig, arguments: argparse.Namespace) -> int:
    with without_default_trust():
        from rcc import carrier  # noqa: PLC0415 - takes a fifth of a second

    match arguments.command:
        case "enroll":
            work = carrier.enroll(config, arguments.server, arguments.code)
        case "connect":
            work = carrier.carry(config, arguments.link)
        case _:
            work = carrier.stay(config)
    return carrier.run(work, arguments.log_level)


@contextmanager
def without_default_trust() -> Iterator[None]:
    """Let aiohttp find no certificates for the default context that it makes while it is loaded.

    Nobody here uses that, and reading them would be a fifth of the time until the link is dialled.
    """
    kept = {name: os.environ.get(name) for name in DEFAULT_TRUST}
    os.environ.update(dict.fromkeys(kept, os.devnull))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from rclib.runtime.version import suite_version  # noqa: PLC0415 - reads the distribution

        parser.exit(message=f"{parser.prog} {suite_version()}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rcc", description=__doc__)
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {DEFAULT_PATH}")
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
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
