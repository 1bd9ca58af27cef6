import copy
import pickle

import pytest

from rclib.wire.errors import DecodeError


def test_a_decode_error_says_where_and_what() -> None:
    error = DecodeError("header.length", "is 7, not a multiple of 4")

    assert str(error) == "header.length: is 7, not a multiple of 4"
    assert (error.place, error.reason) == ("header.length", "is 7, not a multiple of 4")


def test_a_decode_error_is_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="header: is cut off"):
        raise DecodeError("header", "is cut off")


def test_a_decode_error_survives_copying_and_pickling() -> None:
    error = DecodeError("header", "is cut off")

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
        assert (twin.place, twin.reason, str(twin)) == ("header", "is cut off", str(error))
