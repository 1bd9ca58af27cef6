"""A machine with no network but its own, for what changes the kernel's."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

import pytest

from testbed.bed import Testbed
from testbed.requirements import why_not
from testbed.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbed.host import Host


@pytest.fixture
def host() -> Iterator[Host]:
    """A machine of its own, with an interface eth0 that leads nowhere far."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Testbed.build(Topology(plants=(), technicians=())) as bed:
        yield bed.host("cloud")


def inside(host: Host, function: Callable[[], None]) -> None:
    """Run a function of a test's file on the host; it fails as it does there."""
    script = f"import runpy; runpy.run_path({inspect.getfile(function)!r})[{function.__name__!r}]()"
    done = host.run([sys.executable, "-W", "error", "-c", script])
    assert done.returncode == 0, done.stderr
