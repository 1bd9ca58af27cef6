"""A PostgreSQL server of one's own: started in a directory, gone with it. For tests and bench.

Runs as an unprivileged user, which PostgreSQL insists on, and listens on a Unix socket only.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controld.store_url import PostgresServer, parse_database
from testbed.errors import BedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_START_S: Final = 100
"""After a crash it first has each file written, which a busy disk takes its time for."""


class Postgres:
    """One running server; every database of it is fresh."""

    def __init__(self, directory: Path, as_user: Sequence[str], binaries: Path) -> None:
        self.directory = directory
        self._as_user = as_user
        self._binaries = binaries
        self._numbers = count(1)

    def new_database(self) -> PostgresServer:
        """Create an empty database."""
        name = f"controld{next(self._numbers)}"
        self.run("createdb", "-h", str(self.directory), "-U", "controld", name)
        return self.database(name)

    def database(self, name: str) -> PostgresServer:
        found = parse_database(f"postgresql://controld@/{name}?host={self.directory}", None, Path())
        if not isinstance(found, PostgresServer):
            raise TypeError(found)
        return found

    def crash(self) -> None:
        """Stop without a checkpoint, as after a power cut, and start again."""
        self.run("pg_ctl", "-D", str(self.directory / "data"), "-m", "immediate", "stop")
        self.start()

    def start(self) -> None:
        log = str(self.directory / "log")
        options = f"-k {self.directory} -c listen_addresses='' -c shared_buffers=16MB"
        data = str(self.directory / "data")
        self.run("pg_ctl", "-D", data, "-l", log, "-o", options, "-t", str(_START_S), "-w", "start")

    def run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._binaries / program), *arguments]
        done = subprocess.run(  # the output to a file: the server would keep a pipe open
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            cwd=self.directory,
            timeout=_START_S,
            check=False,
        )
        if done.returncode != 0:
            raise BedError(f"{program}: {(done.stderr or b'').decode().strip()}")


def find_postgres() -> Path | None:
    """Where the server's programs are; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server; stop it and remove its files at the end. Raises BedError."""
    binaries = find_postgres()
    if binaries is None:
        raise BedError("PostgreSQL is not installed; make setup installs it for the tests")
    # A short path: that of a Unix socket has at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="rc-pg-"))
    as_user: list[str] = []
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
            as_user = ["setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups"]
        server = Postgres(directory, as_user, binaries)
        data = str(directory / "data")
        server.run(
            "initdb", "-D", data, "-U", "controld", "-A", "trust", "-E", "UTF8", "--no-sync",
            "--locale=C.UTF-8",
        )  # fmt: skip
        server.start()
        try:
            yield server
        finally:
            server.run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
