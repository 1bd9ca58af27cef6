"""The loopback socket against a plain UDP socket in WireGuard's place."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.logs import get_logger
from rclib.tunnel.burst_buffer import MAX_PACKET_BYTES
from rclib.tunnel.mmsg import Vector
from rclib.tunnel.udp_pump import DRAIN, UdpPump, Way
from rclib.wire import relay
from rclib.wire.bursts import split

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INITIATION = b"\x01" + bytes(147)


class Bench:
    """A pump, WireGuard's socket, and the bursts that came out."""

    def __init__(self) -> None:
        self.bursts: list[bytes] = []
        self.came = asyncio.Event()
        self.pump = UdpPump(self._burst, get_logger("test"))
        self.wireguard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.wireguard.bind(("127.0.0.1", 0))
        self.wireguard.settimeout(5)

    @property
    def wireguard_port(self) -> int:
        return int(self.wireguard.getsockname()[1])

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.wireguard.sendto(packet, ("127.0.0.1", self.pump.port))

    async def packets(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            while len(packets := self._packets()) < count:
                self.came.clear()
                await self.came.wait()
        return packets

    def close(self) -> None:
        self.pump.close()
        self.wireguard.close()

    def _burst(self, message: memoryview) -> None:
        self.bursts.append(bytes(message))
        self.came.set()

    def _packets(self) -> list[bytes]:
        packets = []
        for burst in self.bursts:
            frame = relay.decode(burst)
            assert isinstance(frame, relay.Data)
            packets += [bytes(packet) for packet in split(frame.segment, frame.packets)]
        return packets


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.close()


async def test_what_waits_in_the_socket_leaves_as_one_burst(bench: Bench) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    sent = [bytes([4, number]) + bytes(100) for number in range(20)]
    bench.send(*sent)
    assert await bench.packets(20) == sent
    assert len(bench.bursts) == 1
    assert bench.pump.counters.from_wireguard_packets == 20
    assert bench.pump.counters.from_wireguard_bytes == 20 * 102


async def test_a_long_queue_does_not_keep_the_loop(bench: Bench) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    bench.send(*[b"\x04" + bytes(9)] * (3 * DRAIN))
    turns = 0
    while len(bench.bursts) < 3:
        await asyncio.sleep(0)
        turns += 1
        assert len(bench.bursts) <= turns
    assert len(await bench.packets(3 * DRAIN)) == 3 * DRAIN


async def test_the_first_handshake_waits_for_the_port_to_be_known(bench: Bench) -> None:
    bench.send(INITIATION)
    await asyncio.sleep(0)
    assert bench.bursts == []
    bench.pump.wireguard_listens(bench.wireguard_port)
    assert await bench.packets(1) == [INITIATION]


async def test_only_wireguard_is_listened_to(bench: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\x04 before the port was known", ("127.0.0.1", bench.pump.port))
        bench.pump.wireguard_listens(bench.wireguard_port)
        stranger.sendto(b"\x04 and after", ("127.0.0.1", bench.pump.port))
        bench.send(b"\x04 WireGuard")
        assert await bench.packets(1) == [b"\x04 WireGuard"]
        assert bench.pump.counters.dropped_strange == 1


async def test_a_packet_no_wireguard_sends_is_dropped(bench: Bench) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    bench.send(b"", bytes(MAX_PACKET_BYTES + 1), b"\x04" + bytes(MAX_PACKET_BYTES - 1))
    assert [len(packet) for packet in await bench.packets(1)] == [MAX_PACKET_BYTES]
    assert bench.pump.counters.dropped_oversize == 1
    assert bench.pump.counters.dropped_strange == 1


@pytest.mark.parametrize("way", Way)
async def test_a_burst_arrives_as_its_packets(bench: Bench, way: Way) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    bench.pump._way = way  # noqa: SLF001 - as on an older kernel
    packets = [bytes([4, number]) + bytes(1450) for number in range(11)] + [b"\x04last"]
    bench.pump.deliver(1452, memoryview(b"".join(packets)))
    assert [bench.wireguard.recv(4096) for _ in packets] == packets
    assert bench.pump.counters.to_wireguard_packets == 12
    assert bench.pump.counters.dropped_by_socket == 0
    assert bench.pump._way is way  # noqa: SLF001


@pytest.mark.parametrize("error", [errno.EIO, errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS])
async def test_what_the_kernel_cannot_do_goes_the_next_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """UDP_SEGMENT, then sendmmsg, then one by one; no packet is lost on the way down."""
    bench.pump.wireguard_listens(bench.wireguard_port)
    packets = [bytes([4, number]) + bytes(100) for number in range(5)]
    plain = bench.pump._socket  # noqa: SLF001
    calls: list[str] = []

    class Old:
        """A socket whose kernel knows no UDP_SEGMENT."""

        def sendmsg(self, *_: object) -> int:
            calls.append("segment")
            raise OSError(error, "no")

        def __getattr__(self, name: str) -> object:
            return getattr(plain, name)

    def no_mmsg(*_: object) -> int:
        calls.append("mmsg")
        raise OSError(error, "no")

    async def deliver() -> None:
        bench.pump.deliver(102, memoryview(b"".join(packets)))
        assert [bench.wireguard.recv(4096) for _ in packets] == packets

    monkeypatch.setattr(bench.pump, "_socket", Old())
    await deliver()
    await deliver()
    assert calls == ["segment"]
    monkeypatch.setattr(Vector, "send", no_mmsg)
    await deliver()
    await deliver()
    assert calls == ["segment", "mmsg"]
    assert bench.pump.counters.dropped_by_socket == 0


@pytest.mark.parametrize("way", Way)
async def test_what_a_full_or_absent_wireguard_does_not_take_is_counted(
    bench: Bench, way: Way
) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    bench.pump._way = way  # noqa: SLF001
    bench.wireguard.close()
    packets = memoryview(b"\x04" * 50)
    bench.pump.deliver(10, packets)
    bench.pump.deliver(10, packets)  # the first one's ICMP answer arrives with this
    assert bench.pump.counters.dropped_by_socket > 0


async def test_a_burst_larger_than_a_datagram_goes_packet_by_packet(bench: Bench) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    packets = [bytes([4, number]) + bytes(1022) for number in range(64)]
    packets[-1] = packets[-1][:1000]
    bench.wireguard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    bench.pump.deliver(1024, memoryview(b"".join(packets)))
    assert [bench.wireguard.recv(4096) for _ in packets] == packets


async def test_a_peers_handshake_waits_for_wireguard_and_its_data_do_not(bench: Bench) -> None:
    bench.pump.deliver(148, memoryview(INITIATION))
    bench.pump.deliver(100, memoryview(b"\x04" + bytes(99)))
    bench.pump.wireguard_listens(bench.wireguard_port)
    assert bench.wireguard.recv(4096) == INITIATION
    assert bench.pump.counters.dropped_early == 1


async def test_a_wireguard_that_is_not_there_costs_packets_and_nothing_else(bench: Bench) -> None:
    port = bench.wireguard_port
    bench.pump.wireguard_listens(port)
    bench.wireguard.close()
    for _ in range(3):
        bench.pump.deliver(4, memoryview(b"\x04abc"))
        await asyncio.sleep(0)
    assert bench.pump.counters.dropped_by_socket > 0
    bench.wireguard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bench.wireguard.bind(("127.0.0.1", port))
    bench.send(b"\x04back")
    assert await bench.packets(1) == [b"\x04back"]


async def test_wireguard_may_move_to_another_port(bench: Bench) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as moved:
        moved.bind(("127.0.0.1", 0))
        moved.settimeout(5)
        bench.pump.wireguard_listens(moved.getsockname()[1])
        bench.pump.deliver(4, memoryview(b"\x04abc"))
        assert moved.recv(100) == b"\x04abc"


async def test_packets_beyond_the_sockets_buffer_are_counted_by_the_kernel(bench: Bench) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    assert bench.pump.kernel_drops == 0
    bench.pump._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # noqa: SLF001 - smallest
    bench.send(*[b"\x04" + bytes(1400)] * 50)
    dropped = bench.pump.kernel_drops
    assert dropped > 0
    bench.pump.close()
    assert bench.pump.kernel_drops == dropped


async def test_closing_twice_is_as_good_as_once(bench: Bench) -> None:
    bench.pump.wireguard_listens(bench.wireguard_port)
    bench.pump.close()
    bench.pump.close()
    bench.pump.wireguard_listens(1)
    assert bench.pump.kernel_drops == 0


class TestMove:
    """WireGuard changes its port, and no packet of either direction is lost to that."""

    async def test_packets_of_both_ports_are_taken_during_the_move(self, bench: Bench) -> None:
        bench.pump.wireguard_listens(bench.wireguard_port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as moved:
            moved.bind(("127.0.0.1", 0))
            bench.pump.wireguard_will_move(moved.getsockname()[1])
            bench.send(b"\x04 from the old port")
            moved.sendto(b"\x04 from the new port", ("127.0.0.1", bench.pump.port))
            await bench.packets(2)
            bench.pump.wireguard_has_moved(done=True)
            moved.sendto(b"\x04 after the move", ("127.0.0.1", bench.pump.port))
            assert len(await bench.packets(3)) == 3

    async def test_what_comes_from_the_peer_waits_for_the_new_port(self, bench: Bench) -> None:
        bench.pump.wireguard_listens(bench.wireguard_port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as moved:
            moved.bind(("127.0.0.1", 0))
            moved.settimeout(5)
            bench.pump.wireguard_will_move(moved.getsockname()[1])
            bench.pump.deliver(3, memoryview(b"abc"))
            bench.pump.wireguard_has_moved(done=True)
            bench.pump.release()
            assert await asyncio.to_thread(moved.recv, 100) == b"abc"

    async def test_a_move_that_fails_leaves_everything_as_it_was(self, bench: Bench) -> None:
        bench.pump.wireguard_listens(bench.wireguard_port)
        bench.pump.wireguard_will_move(bench.wireguard_port + 1)
        bench.pump.deliver(3, memoryview(b"abc"))
        bench.pump.wireguard_has_moved(done=False)
        bench.pump.release()
        assert await asyncio.to_thread(bench.wireguard.recv, 100) == b"abc"
        bench.send(INITIATION)
        assert await bench.packets(1) == [INITIATION]

    async def test_late_packets_of_the_relay_come_in_batches_and_wireguard_is_pointed_back(
        self, bench: Bench
    ) -> None:
        bench.pump.wireguard_listens(bench.wireguard_port)
        batches = asyncio.Queue[None]()
        bench.pump.batch(lambda: batches.put_nowait(None))
        for number in range(5):
            bench.pump.deliver(1, memoryview(b"%d" % number))
        assert bench.pump.counters.to_wireguard_packets == 0
        async with asyncio.timeout(5):
            await batches.get()
        got = [await asyncio.to_thread(bench.wireguard.recv, 100) for _ in range(5)]
        assert got == [b"0", b"1", b"2", b"3", b"4"]
        bench.pump.batch(None)
        bench.pump.deliver(1, memoryview(b"5"))
        assert bench.pump.counters.to_wireguard_packets == 6, "at once, as before"
        assert batches.empty()
