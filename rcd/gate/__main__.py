"""rcd-gate: the only code that changes the gateway's network. `rcd-gate close` undoes all of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rcd.gate import close

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == ["close"]:
        return close.main()
    # Closing has to work in no time, and also where a library is broken.
    from rcd.gate import program  # noqa: PLC0415

    return program.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
