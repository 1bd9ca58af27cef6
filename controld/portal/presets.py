"""Services that machines commonly offer, so that nobody has to look a port up."""

from __future__ import annotations

from typing import Final, NamedTuple

from rclib.wire.session import Protocol


class Preset(NamedTuple):
    """One service by the name its users know."""

    key: str
    name: str
    protocol: Protocol
    port: int | None


PRESETS: Final = (
    Preset("s7", "S7 (ISO-TSAP)", Protocol.TCP, 102),
    Preset("modbus", "Modbus TCP", Protocol.TCP, 502),
    Preset("opcua", "OPC UA", Protocol.TCP, 4840),
    Preset("enip", "EtherNet/IP", Protocol.TCP, 44818),
    Preset("http", "HTTP, IO-Link master", Protocol.TCP, 80),
    Preset("https", "HTTPS", Protocol.TCP, 443),
    Preset("ssh", "SSH", Protocol.TCP, 22),
    Preset("rdp", "RDP", Protocol.TCP, 3389),
    Preset("vnc", "VNC", Protocol.TCP, 5900),
    Preset("ping", "Ping", Protocol.ICMP_ECHO, None),
)
BY_KEY: Final = {preset.key: preset for preset in PRESETS}


def name_of(protocol: Protocol, port: int | None) -> str:
    """What people call this service; its protocol and port if they have no name for it."""
    for preset in PRESETS:
        if (preset.protocol, preset.port) == (protocol, port):
            return preset.name
    return protocol.value if port is None else f"{protocol.value}/{port}"
