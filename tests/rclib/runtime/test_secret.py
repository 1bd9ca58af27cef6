from __future__ import annotations

import copy
import logging
import pickle
from typing import TYPE_CHECKING

import msgspec
import pytest

from rclib.runtime.errors import SecretError
from rclib.runtime.secret import (
    REDACTED,
    Secret,
    SecretBytes,
    SecretStr,
    read_secret,
    read_secret_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path

VALUE = "hunter2"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{VALUE}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("secret", [SecretStr(VALUE), SecretBytes(VALUE.encode())])
class TestHiding:
    def test_no_way_of_printing_shows_the_value(self, secret: Secret[str | bytes]) -> None:
        shown = [
            repr(secret),
            str(secret),
            f"{secret}",
            f"{secret!r:>40}",
            "{:>10}".format(secret),  # noqa: UP032 -- format() is one of the ways
            "%s %r" % (secret, secret),  # noqa: UP031 -- and this is another
            repr([{"password": secret}]),
            str(vars(type(secret))),
        ]

        assert not [text for text in shown if VALUE in text]
        assert all(REDACTED in text for text in shown[:-1])

    def test_stdlib_logging_does_not_show_it(
        self, secret: Secret[str | bytes], caplog: pytest.LogCaptureFixture
    ) -> None:
        logging.getLogger("x").warning("token %s", secret)

        assert VALUE not in caplog.text
        assert REDACTED in caplog.text

    def test_it_cannot_leave_the_process_by_pickle(self, secret: Secret[str | bytes]) -> None:
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)

    def test_it_cannot_be_encoded_as_json(self, secret: Secret[str | bytes]) -> None:
        with pytest.raises(TypeError):
            msgspec.json.encode({"token": secret})

    def test_it_has_no_dictionary_to_dump(self, secret: Secret[str | bytes]) -> None:
        assert not hasattr(secret, "__dict__")

    def test_a_copy_is_the_same_secret(self, secret: Secret[str | bytes]) -> None:
        assert copy.copy(secret) is secret
        assert copy.deepcopy([secret])[0] is secret


def test_reveal_returns_the_value() -> None:
    assert SecretStr(VALUE).reveal() == VALUE
    assert SecretBytes(b"\x00\xff").reveal() == b"\x00\xff"


def test_equal_values_are_equal_and_hash_alike() -> None:
    assert SecretStr("ä") == SecretStr("ä")
    assert SecretStr("a") != SecretStr("b")
    assert hash(SecretBytes(b"a")) == hash(SecretBytes(b"a"))


def test_text_and_bytes_and_plain_values_are_never_equal() -> None:
    secret: object = SecretStr("a")

    assert secret != SecretBytes(b"a")
    assert secret != "a"


class TestReading:
    def test_the_final_line_break_is_not_part_of_the_secret(self, secret_file: Path) -> None:
        assert read_secret(str(secret_file), base=None).reveal() == VALUE

    def test_spaces_and_inner_line_breaks_are(self, secret_file: Path) -> None:
        secret_file.write_text(" a\nb \r\n")

        assert read_secret(str(secret_file), base=None).reveal() == " a\nb "

    def test_bytes_are_read_as_they_are(self, secret_file: Path) -> None:
        secret_file.write_bytes(b"\xff\n")

        assert read_secret_bytes(str(secret_file), base=None).reveal() == b"\xff\n"

    def test_a_relative_name_starts_at_the_base(self, secret_file: Path) -> None:
        assert read_secret("token", base=secret_file.parent).reveal() == VALUE

    @pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o777])
    def test_a_secret_everybody_can_get_at_is_refused(self, secret_file: Path, mode: int) -> None:
        secret_file.chmod(mode)

        with pytest.raises(SecretError, match=rf"run: chmod o= {secret_file}$") as caught:
            read_secret(str(secret_file), base=None)
        assert VALUE not in str(caught.value)

    def test_a_group_may_read(self, secret_file: Path) -> None:
        secret_file.chmod(0o640)

        assert read_secret(str(secret_file), base=None).reveal() == VALUE

    def test_a_link_to_an_open_file_is_refused_like_the_file(self, secret_file: Path) -> None:
        secret_file.chmod(0o644)
        link = secret_file.with_name("link")
        link.symlink_to(secret_file)

        with pytest.raises(SecretError, match="chmod"):
            read_secret(str(link), base=None)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"\n", "is empty"),
            (b"ab\xff", "not UTF-8 text .byte 2"),
            (b"x" * 65537, "this is no secret"),
        ],
    )
    def test_content_that_is_no_secret_is_refused(
        self, secret_file: Path, content: bytes, message: str
    ) -> None:
        secret_file.write_bytes(content)

        with pytest.raises(SecretError, match=message):
            read_secret(str(secret_file), base=None)

    def test_an_empty_key_is_refused(self, secret_file: Path) -> None:
        secret_file.write_bytes(b"")

        with pytest.raises(SecretError, match="is empty"):
            read_secret_bytes(str(secret_file), base=None)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SecretError, match="nowhere: no such secret"):
            read_secret("nowhere", base=tmp_path)

    def test_a_directory_is_no_secret(self, tmp_path: Path) -> None:
        with pytest.raises(SecretError, match="directory"):
            read_secret(str(tmp_path), base=None)

    def test_an_empty_name_is_no_secret(self) -> None:
        with pytest.raises(SecretError, match="empty"):
            read_secret("", base=None)


class TestCredentials:
    """What systemd hands over with LoadCredential=."""

    def test_a_credential_is_found_in_its_directory(
        self, secret_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secret_file.parent))

        assert read_secret("credential:token", base=None).reveal() == VALUE

    def test_without_the_directory_the_error_says_how_to_get_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

        with pytest.raises(SecretError, match="LoadCredential=token:FILE"):
            read_secret("credential:token", base=None)

    @pytest.mark.parametrize("name", ["", "..", ".", "../token", "/etc/passwd"])
    def test_a_name_cannot_leave_the_directory(
        self, name: str, secret_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secret_file.parent / "inner"))

        with pytest.raises(SecretError, match="no credential name"):
            read_secret(f"credential:{name}", base=None)
