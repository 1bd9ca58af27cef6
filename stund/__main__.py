"""Answers STUN Binding requests. `stund --listen 127.0.0.1:3478` needs no configuration."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from rclib.runtime.net import parse_endpoint
from rclib.runtime.service import Service, run_service
from stund.config import DEFAULT_PATH, StundConfig
from stund.server import serve

if TYPE_CHECKING:
    import argparse


def main() -> int:
    """Run stund from the command line and return its exit status."""
    return run_service(
        Service(
            name="stund",
            description=__doc__ or "",
            config_type=StundConfig,
            run=serve,
            default_config_path=DEFAULT_PATH,
            add_arguments=_add_arguments,
            apply_arguments=_apply_arguments,
        )
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen",
        action="append",
        metavar="ADDRESS:PORT",
        help="answer here instead of where the configuration says; may be repeated",
    )
    parser.add_argument(
        "--no-rate-limit",
        action="store_true",
        help="answer every request: for closed networks and benchmarks",
    )


def _apply_arguments(config: StundConfig, arguments: argparse.Namespace) -> StundConfig:
    replace = msgspec.structs.replace
    if arguments.listen:
        config = replace(config, listen=tuple(map(parse_endpoint, arguments.listen)))
    if arguments.no_rate_limit:
        config = replace(config, rate_limit=replace(config.rate_limit, enabled=False))
    return config


if __name__ == "__main__":
    sys.exit(main())
