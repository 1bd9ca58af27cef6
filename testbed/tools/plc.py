"""A PLC: Modbus TCP on 502 with a register that counts, and an echo service on 4840.

Registers 10 to 25 spell MARK: a plaintext to look for in captures.
"""

from __future__ import annotations

import asyncio
from typing import cast

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from testbed.tools.line import say

MODBUS_PORT = 502
ECHO_PORT = 4840
MARK = b"PLAINTEXT-OF-THE-PLC-REGISTERS!!"
MARK_AT = 10


async def count_reads(
    _function: int,
    _start: int,
    _address: int,
    _count: int,
    registers: list[int],
    _set: list[int] | list[bool] | None,
) -> None:
    """Register 0 counts the requests: it never stands still."""
    registers[0] = (registers[0] + 1) & 0xFFFF


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transports are no DatagramTransport by inheritance, only by shape.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main() -> None:
    values = [0] * 100
    for index in range(0, len(MARK), 2):
        values[MARK_AT + index // 2] = int.from_bytes(MARK[index : index + 2], "big")
    registers = SimData(0, values=values, datatype=DataType.REGISTERS)
    device = SimDevice(1, [registers], action=count_reads)
    server = ModbusTcpServer(device, address=("0.0.0.0", MODBUS_PORT))  # noqa: S104 - a PLC
    loop = asyncio.get_running_loop()
    await asyncio.start_server(echo, "0.0.0.0", ECHO_PORT)  # noqa: S104 - a PLC
    await loop.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", ECHO_PORT))  # noqa: S104
    await server.listen()
    say("ready", modbus=MODBUS_PORT, echo=ECHO_PORT)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
