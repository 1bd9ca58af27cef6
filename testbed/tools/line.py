"""One JSON line on stdout: how the tools talk to whoever started them."""

from __future__ import annotations

import json
import sys


def say(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()
