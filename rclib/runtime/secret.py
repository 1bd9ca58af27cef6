"""Values that must not be seen, and where they are read from."""

from __future__ import annotations

import hmac
import os
import stat
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from rclib.runtime.errors import FileTooLargeError, SecretError
from rclib.runtime.files import read_open_file

T = TypeVar("T", bound=str | bytes)

REDACTED = "[redacted]"
CREDENTIAL_PREFIX = "credential:"

_MAX_SECRET_BYTES = 64 * 1024
_READABLE_BY_EVERYBODY = 0o007


class Secret(Generic[T]):
    """Holds a value that appears in no repr, log line, format string or pickle.

    Comparison takes the same time wherever two values differ.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the value; the call marks each place that handles it in the clear."""
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, format_spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret) or type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(_as_bytes(self._value), _as_bytes(other._value))

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    # A copy of a configuration shares its secrets; the default way would be by pickling.
    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: object) -> Secret[T]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not pickled: the value would leave the process")


class SecretStr(Secret[str]):
    """Text that must not be seen: a password, a token."""

    __slots__ = ()


class SecretBytes(Secret[bytes]):
    """Bytes that must not be seen: a private key."""

    __slots__ = ()


def read_secret(spec: str, *, base: Path | None) -> SecretStr:
    """Read the text secret that `spec` names, without its final line break.

    `spec` is a file, relative to the directory `base` (the configuration's; None: the
    working directory), or `credential:NAME`, looked up in $CREDENTIALS_DIRECTORY, where
    systemd puts what LoadCredential= names. Raises SecretError.
    """
    path = _locate(spec, base)
    try:
        text = _read_guarded(path).decode()
    except UnicodeDecodeError as exc:
        raise SecretError(f"{path}: the secret is not UTF-8 text (byte {exc.start})") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretError(f"{path}: the secret is empty; write it into this file")
    return SecretStr(text)


def read_secret_bytes(spec: str, *, base: Path | None) -> SecretBytes:
    """Read the binary secret that `spec` names, byte for byte; see `read_secret`."""
    path = _locate(spec, base)
    value = _read_guarded(path)
    if not value:
        raise SecretError(f"{path}: the secret is empty; write it into this file")
    return SecretBytes(value)


def _locate(spec: str, base: Path | None) -> Path:
    if not spec.startswith(CREDENTIAL_PREFIX):
        if not spec:
            raise SecretError("a secret's file name is empty; name a file or credential:NAME")
        return base / spec if base is not None else Path(spec)
    name = spec.removeprefix(CREDENTIAL_PREFIX)
    if not name or "/" in name or name in {".", ".."}:
        raise SecretError(f"{spec!r} is no credential name; write {CREDENTIAL_PREFIX}NAME")
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise SecretError(
            f"credential {name!r} is wanted, but $CREDENTIALS_DIRECTORY is not set; run under "
            f"systemd with LoadCredential={name}:FILE, or name the file instead"
        )
    return Path(directory) / name


def _read_guarded(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # Asked of the open file, so that it cannot be exchanged between check and read.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            # Windows answers with made-up bits; there the directory's ACL protects the file.
            if os.name == "posix" and mode & _READABLE_BY_EVERYBODY:
                raise SecretError(
                    f"{path}: every user of this machine can get at this secret (mode {mode:04o}); "
                    f"run: chmod o= {path}"
                )
            return read_open_file(file, path, _MAX_SECRET_BYTES)
    except FileNotFoundError:
        raise SecretError(f"{path}: no such secret; create the file with mode 0600") from None
    except PermissionError:
        raise SecretError(
            f"{path}: no permission to read this secret; make it readable for the user "
            "this program runs as, or hand it over with LoadCredential="
        ) from None
    except FileTooLargeError as exc:
        raise SecretError(f"{exc}; this is no secret") from None
    except OSError as exc:
        raise SecretError(f"{path}: cannot read this secret: {exc.strerror}") from None


def _as_bytes(value: str | bytes) -> bytes:
    # surrogatepass: a comparison must not fail over text that could not be printed.
    return value.encode(errors="surrogatepass") if isinstance(value, str) else value
