from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.bed import Testbed
from testbed.requirements import why_not

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def bed() -> Iterator[Testbed]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Testbed.build() as built:
        yield built
