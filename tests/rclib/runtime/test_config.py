from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from rclib.runtime.config import Config, has_defaults, load_config, render_config
from rclib.runtime.errors import ConfigError, SecretError
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.net import Endpoint, parse_endpoint
from rclib.runtime.secret import SecretBytes, SecretStr


class ListenConfig(Config, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    idle_timeout_s: float = 60


class RegionConfig(Config, frozen=True, kw_only=True):
    relays: list[str]


class DaemonConfig(Config, frozen=True, kw_only=True):
    listen: ListenConfig
    name: str
    admin: ListenConfig | None = None
    peers: tuple[ListenConfig, ...] = ()
    regions: dict[str, RegionConfig] = msgspec.field(default_factory=dict)
    status: StatusConfig = StatusConfig()


class RichConfig(Config, frozen=True, kw_only=True):
    bind: Endpoint = parse_endpoint("[::1]:3478")
    state: Path = Path("/var/lib/x")
    lan: ipaddress.IPv4Network | None = None
    password: SecretStr | None = None
    key: SecretBytes | None = None
    ratio: float = 0.5
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    switches: tuple[bool, ...] = (True, False)


MINIMAL = 'name = "x"\n[listen]\nport = 443\n'


def written(directory: Path, text: str) -> Path:
    path = directory / "relayd.toml"
    path.write_text(text)
    return path


def fault(directory: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(DaemonConfig, written(directory, text))
    return caught.value


def test_a_good_file_becomes_a_frozen_struct(tmp_path: Path) -> None:
    config = load_config(DaemonConfig, written(tmp_path, MINIMAL))

    assert config == DaemonConfig(name="x", listen=ListenConfig(port=443))
    with pytest.raises(AttributeError):
        config.name = "y"  # type: ignore[misc]


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("text", "key", "meant"),
        [
            ('naem = "x"', "naem", "name"),
            ("[listen]\nprot = 1", "listen.prot", "listen.port"),
            ("[listen]\nidle_timeout = 1", "listen.idle_timeout", "listen.idle_timeout_s"),
            ("[admin]\nhots = ''", "admin.hots", "admin.host"),
            ("[[peers]]\nport = 1\n[[peers]]\nprot = 1", "peers[1].prot", "peers[1].port"),
            ("[regions.eu]\nrelay = []", "regions.eu.relay", "regions.eu.relays"),
            ("[status]\nlisten_on = ''", "status.listen_on", "status.listen"),
            ("allow_non_loopback = true", "allow_non_loopback", "status.allow_non_loopback"),
        ],
    )
    def test_the_nearest_real_key_is_named(
        self, tmp_path: Path, text: str, key: str, meant: str
    ) -> None:
        error = fault(tmp_path, text)

        assert str(error) == (
            f"{tmp_path}/relayd.toml: unknown key {key!r}; did you mean {meant!r}?"
        )
        assert (error.file, error.key) == (tmp_path / "relayd.toml", key)

    def test_where_none_is_near_the_known_keys_are_listed(self, tmp_path: Path) -> None:
        error = fault(tmp_path, "[listen]\nzzz = 1")

        assert "known here: listen.host, listen.port, listen.idle_timeout_s" in str(error)

    def test_the_unknown_key_is_reported_before_the_missing_one_it_was_meant_for(
        self, tmp_path: Path
    ) -> None:
        assert "did you mean 'listen.port'" in str(fault(tmp_path, "[listen]\nprot = 1"))


class TestOtherFaults:
    @pytest.mark.parametrize(
        ("text", "key", "reason"),
        [
            ('name = "x"\n[listen]\nport = "443"', "listen.port", "got `str`"),
            ('name = "x"\n[listen]\nport = 65536', "listen.port", "<= 65535"),
            ("name = 1\n[listen]\nport = 1", "name", "Expected `str`"),
            ('name = "x"\nlisten = 1', "listen", "Expected `object`"),
            (f'{MINIMAL}[status]\nlisten = "0.0.0.0:9"', "status", "other machines"),
            (f'{MINIMAL}[status]\nlisten = "localhost"', "status", "no address with port"),
        ],
    )
    def test_a_wrong_value_is_named_with_file_key_and_reason(
        self, tmp_path: Path, text: str, key: str, reason: str
    ) -> None:
        error = fault(tmp_path, text)

        assert str(error).startswith(f"{tmp_path}/relayd.toml: {key}: ")
        assert reason in str(error)
        assert error.key == key

    def test_every_missing_key_is_listed(self, tmp_path: Path) -> None:
        error = fault(tmp_path, "[[peers]]\n[regions.eu]\n")

        assert str(error).endswith(
            "missing required keys: listen, name, peers[0].port, regions.eu.relays"
        )

    def test_one_missing_key_is_one_key(self, tmp_path: Path) -> None:
        error = fault(tmp_path, "name = 'x'\n[listen]\n")

        assert str(error).endswith("missing required key: listen.port")
        assert error.key == "listen.port"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"a = ", "not valid TOML"),
            (b"a = 1\na = 2", "not valid TOML"),
            (b"\xff", "not UTF-8"),
            (b"#" * 1024 * 1024 + b"#", "larger than"),
        ],
    )
    def test_a_file_that_is_no_toml_is_named(
        self, tmp_path: Path, content: bytes, reason: str
    ) -> None:
        path = tmp_path / "relayd.toml"
        path.write_bytes(content)

        with pytest.raises(ConfigError, match=rf"relayd\.toml: {reason}"):
            load_config(DaemonConfig, path)

    def test_a_missing_file_is_named_with_the_option_for_another(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file.*--config"):
            load_config(DaemonConfig, tmp_path / "nowhere.toml")

    def test_a_directory_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
            load_config(DaemonConfig, tmp_path)

    def test_a_field_type_nobody_can_read_is_a_bug_and_says_so(self, tmp_path: Path) -> None:
        class Odd(Config, frozen=True, kw_only=True):
            odd: slice

        with pytest.raises(NotImplementedError, match="slice"):
            load_config(Odd, written(tmp_path, "odd = 'x'"))


class TestWithoutFile:
    def test_defaults_are_enough_where_nothing_is_required(self) -> None:
        assert load_config(RichConfig, None) == RichConfig()
        assert has_defaults(RichConfig)

    def test_otherwise_what_is_missing_is_listed(self) -> None:
        assert not has_defaults(DaemonConfig)
        with pytest.raises(ConfigError, match="there is no default for: listen, name"):
            load_config(DaemonConfig, None)


class TestTypes:
    def test_addresses_and_paths_arrive_typed(self, tmp_path: Path) -> None:
        text = 'bind = "[::]:53"\nstate = "/s"\nlan = "192.168.1.0/24"\n'
        config = load_config(RichConfig, written(tmp_path, text))

        assert config.bind == Endpoint(ipaddress.IPv6Address("::"), 53)
        assert config.state == Path("/s")
        assert config.lan == ipaddress.IPv4Network("192.168.1.0/24")

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ('bind = "localhost:53"', "bind"),
            ('lan = "192.168.1.1/24"', "lan"),
            ("lan = 5", "lan"),
            ("state = []", "state"),
        ],
    )
    def test_a_value_that_does_not_parse_names_its_key(
        self, tmp_path: Path, text: str, key: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            load_config(RichConfig, written(tmp_path, text))
        assert caught.value.key == key

    def test_a_secret_field_names_where_the_secret_is(self, tmp_path: Path) -> None:
        secret = tmp_path / "password"
        secret.write_text("hunter2\n")
        secret.chmod(0o600)
        text = 'password = "password"\nkey = "password"\n'
        config = load_config(RichConfig, written(tmp_path, text))

        assert config.password == SecretStr("hunter2")
        assert config.key == SecretBytes(b"hunter2\n")

    def test_an_open_secret_stops_the_start(self, tmp_path: Path) -> None:
        secret = tmp_path / "password"
        secret.write_text("hunter2\n")
        secret.chmod(0o644)

        with pytest.raises(SecretError, match="chmod o=") as caught:
            load_config(RichConfig, written(tmp_path, 'password = "password"'))
        assert "hunter2" not in str(caught.value)


class TestRendering:
    def test_the_effective_configuration_reads_back_the_same(self, tmp_path: Path) -> None:
        config = DaemonConfig(
            name='quote " newline \n ünicode \x7f',
            listen=ListenConfig(port=1),
            peers=(ListenConfig(port=2), ListenConfig(port=3, host="h")),
            regions={"eu west.1": RegionConfig(relays=["a", "b"])},
        )

        assert load_config(DaemonConfig, written(tmp_path, render_config(config))) == config

    def test_secrets_are_redacted_and_what_is_not_set_is_shown(self) -> None:
        text = render_config(RichConfig(password=SecretStr("hunter2"), key=SecretBytes(b"hunter2")))

        assert "hunter2" not in text
        assert 'password = "[redacted]"' in text
        assert "# lan is not set" in text
        assert 'bind = "[::1]:3478"' in text

    def test_a_daemon_may_show_its_configuration_where_paths_are_not_text(self) -> None:
        assert f'state = "{os.sep}var' in render_config(RichConfig())
