"""Configuration: one TOML file becomes one frozen struct, or one clear error.

A daemon's configuration is a tree of `Config` subclasses. Units stand in the keys
(`idle_timeout_s`). Besides what msgspec knows, fields may be `Endpoint`, `Path`,
`SecretStr`, `SecretBytes`, or an address or network of `ipaddress`. The text of a
secret field names where the secret is (see `read_secret`): the secret itself never
stands in the configuration.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rclib.runtime.config_keys import missing_keys, unknown_key
from rclib.runtime.config_text import render_toml
from rclib.runtime.errors import ConfigError, FileTooLargeError
from rclib.runtime.files import read_bounded
from rclib.runtime.net import Endpoint, parse_endpoint
from rclib.runtime.secret import Secret, SecretBytes, SecretStr, read_secret, read_secret_bytes

C = TypeVar("C", bound=msgspec.Struct)

_MAX_CONFIG_BYTES = 1024 * 1024
_TEXTUAL_TYPES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every configuration table: class RelayConfig(Config, frozen=True, kw_only=True).

    msgspec does not inherit kw_only, and mypy wants to see frozen again.
    """


def load_config(type_: type[C], path: Path | None) -> C:
    """Read a configuration; `path` None yields the defaults. Raises ConfigError or SecretError.

    Relative file names of secrets are taken from the directory of the file.
    """
    return _build(type_, _read_toml(path) if path is not None else {}, path)


def parse_config(type_: type[C], text: str) -> C:
    """Read back what `render_config` made of a configuration without secrets."""
    return _build(type_, tomllib.loads(text), None)


def _build(type_: type[C], document: dict[str, Any], path: Path | None) -> C:
    stranger = unknown_key(type_, document)
    if stranger is not None:
        key, hint = stranger
        raise ConfigError(f"unknown key {key!r}; {hint}", file=path, key=key)
    missing = missing_keys(type_, document)
    if missing:
        keys = ", ".join(missing)
        reason = f"missing required {'key' if len(missing) == 1 else 'keys'}: {keys}"
        if path is None:
            reason = f"no configuration file, and there is no default for: {keys}"
        raise ConfigError(reason, file=path, key=missing[0])
    base = path.parent if path is not None else None
    try:
        return msgspec.convert(document, type_, dec_hook=lambda t, value: _decode(t, value, base))
    except msgspec.ValidationError as exc:
        reason, place = _split_place(str(exc))
        raise ConfigError(f"{place}: {reason}" if place else reason, file=path, key=place) from None


def has_defaults(type_: type[msgspec.Struct]) -> bool:
    """Whether a configuration of this type can do without a file."""
    return not missing_keys(type_, {})


def render_config(config: msgspec.Struct) -> str:
    """Return the effective configuration as TOML, with every secret redacted."""
    document = msgspec.to_builtins(config, enc_hook=_encode, str_keys=True)
    return render_toml(document)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bounded(path, _MAX_CONFIG_BYTES).decode())
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"not valid TOML: {exc}", file=path) from None
    except UnicodeDecodeError as exc:
        raise ConfigError(f"not UTF-8 text (byte {exc.start})", file=path) from None
    except FileNotFoundError:
        raise ConfigError(
            "no such file; create it or name another one with --config", file=path
        ) from None
    except FileTooLargeError as exc:
        raise ConfigError(str(exc)) from None
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", file=path) from None


def _decode(type_: type, value: Any, base: Path | None) -> Any:  # noqa: ANN401 -- msgspec's hook
    """Build the types msgspec does not know; ValueError and TypeError get their place from it."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, got `{type(value).__name__}`")
    if type_ is Endpoint:
        return parse_endpoint(value)
    if type_ is SecretStr:
        return read_secret(value, base=base)
    if type_ is SecretBytes:
        return read_secret_bytes(value, base=base)
    if issubclass(type_, Path):
        return Path(value)
    if type_ in _TEXTUAL_TYPES:
        return type_(value)
    raise NotImplementedError(f"configuration fields of type {type_.__name__} are not supported")


def _encode(value: Any) -> Any:  # noqa: ANN401 -- msgspec's hook
    if isinstance(value, (Secret, Endpoint, Path, *_TEXTUAL_TYPES)):
        return str(value)
    raise NotImplementedError(
        f"configuration fields of type {type(value).__name__} are not supported"
    )


def _split_place(message: str) -> tuple[str, str | None]:
    """Split msgspec's "reason - at `$.listen.port`" into the reason and the dotted key."""
    match = re.fullmatch(r"(?P<reason>.*) - at `\$\.?(?P<key>.*)`", message, re.DOTALL)
    if match is None:
        return message, None
    return match["reason"], match["key"] or None
