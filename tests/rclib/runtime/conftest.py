from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog

from rclib.runtime.logs import configure_logging
from rclib.runtime.loop import new_event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on both loops: adapters must not depend on one."""
    return {"asyncio": asyncio.new_event_loop, "platform": new_event_loop}


@pytest.fixture
def keep_logging() -> Iterator[None]:
    """Undo what configure_logging does to the process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def log_lines(keep_logging: None) -> Callable[[], list[dict[str, Any]]]:
    """Return the lines logged so far, as an operator's log collector reads them."""
    stream = io.StringIO()
    configure_logging("debug", stream=stream, pretty=False)
    return lambda: [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
