"""Bytes and messages. Pure: no asyncio, socket, clock, randomness, os or logging.

Every decoder is total: it returns a typed message or raises `rclib.wire.errors.DecodeError`.
"""
