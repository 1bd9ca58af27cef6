"""relayd.toml: what it may say, and what it says when it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rclib.runtime.config import load_config
from rclib.runtime.errors import ConfigError
from relayd.config import RelaydConfig

MINIMAL = 'relay = "relay0"\ntoken_keys = ["token.pem"]\n'
WITH_TLS = MINIMAL + 'certificate = "relay.pem"\nkey = "relay.key"\n'


def load(tmp_path: Path, text: str) -> RelaydConfig:
    path = tmp_path / "relayd.toml"
    path.write_text(text)
    return load_config(RelaydConfig, path)


def test_the_defaults_are_those_of_the_document(tmp_path: Path) -> None:
    config = load(tmp_path, WITH_TLS)
    assert config.listen == "0.0.0.0:443"
    assert (config.queue_bytes, config.write_deadline_s) == (262_144, 2.0)
    assert (config.upgrade_timeout_s, config.hello_timeout_s) == (5.0, 10.0)
    assert (config.ping_s, config.dead_s) == (25.0, 45.0)
    assert (config.max_unadmitted_per_address, config.accept_rate_per_s) == (20, 50)
    assert config.accept_burst == 200
    assert config.token_keys == [Path("token.pem")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MINIMAL, "certificate and key are required"),
        (WITH_TLS + "queue_byte = 1\n", "did you mean 'queue_bytes'"),
        (WITH_TLS + "queue_bytes = 1000\n", "queue_bytes"),
        (WITH_TLS + "dead_s = 20\n", "above ping_s = 25"),
        (WITH_TLS + 'listen = "relay.example:443"\n', "not an IP address"),
        (MINIMAL + "insecure_plaintext = true\n", "would show tokens to the network"),
        ('relay = "Relay 0"\ntoken_keys = ["a"]\ninsecure_plaintext = true\n', "relay"),
        ('relay = "relay0"\ntoken_keys = []\n', "token_keys"),
        ("", "missing required keys: relay, token_keys"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)


def test_plaintext_is_for_loopback(tmp_path: Path) -> None:
    text = MINIMAL + 'listen = "127.0.0.1:8080"\ninsecure_plaintext = true\n'
    assert load(tmp_path, text).insecure_plaintext
