"""The relay process: legs' events into the rules, the rules' commands onto the legs."""

from __future__ import annotations

import asyncio
import random
import secrets
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rclib.runtime.clock import boottime, wall_ms
from rclib.runtime.errors import StartError
from rclib.runtime.logs import RateLimitedLogger
from rclib.runtime.net import endpoint_of, parse_endpoint
from rclib.runtime.tlsfiles import CertificateWatch, server_context
from rclib.wire import relay
from rclib.wire.admission import key_id_of, load_key
from rclib.wire.errors import DecodeError
from rclib.wire.ids import Nonce
from rclib.wire.relay import CloseReason
from relayd.accept_limits import AcceptLimits
from relayd.admission import Doorkeeper
from relayd.channels import CLOSE_LINGER_S, Channels, Timing
from relayd.commands import (
    Abort,
    Admit,
    CloseLeg,
    Command,
    DropMessage,
    Join,
    LegId,
    Part,
    Send,
    Trust,
)
from relayd.leg import Leg, Traffic, serve
from relayd.listening import LimitedListener
from relayd.metrics import Metrics
from relayd.reasons import DropReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from joserfc.jwk import OKPKey

    from rclib.runtime.context import Context
    from relayd.config import RelaydConfig
    from relayd.reasons import RefusedAccept

RETRY_IN_MS: Final = 1000
RETRY_SPREAD_MS: Final = 5000
"""Legs are told to come back spread over this long, so that they do not do so all at once."""
TICK_S: Final = 1.0
MIN_TICK_S: Final = 0.05
LOG_INTERVAL_S: Final = 10.0

LEG_ADMITTED = "leg_admitted"
LEG_CLOSED = "leg_closed"
ACCEPT_REFUSED = "accept_refused"
CERTIFICATE_RENEWED = "certificate_renewed"
CERTIFICATE_UNUSABLE = "certificate_unusable"


class RelayServer:
    """All legs of one process."""

    def __init__(self, config: RelaydConfig, ctx: Context) -> None:
        """Read keys and certificate; raises StartError."""
        # Fixed after construction.
        self._config = config
        self._ctx = ctx
        base = ctx.config_dir or Path()
        self._tls = None
        self._certificate: CertificateWatch | None = None
        self._certificate_due = boottime() + config.certificate_check_s
        if config.certificate is not None and config.key is not None:
            files = base / config.certificate, base / config.key
            self._tls = server_context(*files)
            self._certificate = CertificateWatch(self._tls, *files)
        self._metrics = Metrics(ctx.metrics)
        self._log = RateLimitedLogger(ctx.log, interval_s=LOG_INTERVAL_S)
        keys = [_read_key(base / path) for path in config.token_keys]
        self._rules = Channels(
            Doorkeeper(
                config.relay,
                {key_id_of(key): key for key in keys},
                lambda: Nonce(secrets.token_bytes(relay.NONCE_BYTES)),
            ),
            Timing(
                hello_s=config.hello_timeout_s,
                write_s=config.write_deadline_s,
                ping_s=config.ping_s,
                dead_s=config.dead_s,
            ),
        )
        self._limits = AcceptLimits(
            rate_per_s=config.accept_rate_per_s,
            burst=config.accept_burst,
            max_per_address=config.max_unadmitted_per_address,
        )
        # Change while it serves.
        self._numbers = count(1)
        self._legs: dict[LegId, Leg] = {}
        self._admitted = 0
        self._total = Traffic()
        self._empty = asyncio.Event()
        self._empty.set()

    async def run(self, on_listening: Callable[[int], None]) -> None:
        """Serve until the process is asked to stop, then say goodbye to every leg.

        `on_listening` gets the port. Raises StartError.
        """
        listener = LimitedListener(
            parse_endpoint(self._config.listen), self._limits, self._accept_refused
        )
        port = endpoint_of(listener.getsockname()).port
        timeout_s = self._config.upgrade_timeout_s
        server = await serve(listener, self._tls, timeout_s, self._new_leg, self._log)
        # Owned by the process: without its clock no lease ends, so it does not outlive this task.
        ticker = self._ctx.tasks.create_task(self._tick(), name="relay-clock")
        try:
            on_listening(port)
            await self._ctx.stopping.wait()
        finally:
            server.close()
            await self._say_goodbye()
            ticker.cancel()
            self._show()

    # Events of the legs.

    def leg_connected(self, leg: Leg) -> None:
        self._legs[leg.id] = leg
        self._empty.clear()
        accepted_at = self._limits.accepted_at(leg.peer)
        self._do(self._rules.connected(leg.id, boottime() if accepted_at is None else accepted_at))
        if self._ctx.stopping.is_set():
            self._do(self._goodbye_to(leg.id))

    def leg_received(self, leg: Leg, message: memoryview) -> None:
        self._do(self._rules.received(leg.id, message, boottime(), wall_ms() / 1000))

    def leg_heard(self, leg: Leg) -> None:
        self._rules.heard(leg.id, boottime())

    def leg_blocked(self, leg: Leg) -> None:
        self._rules.write_blocked(leg.id, boottime())

    def leg_resumed(self, leg: Leg) -> None:
        self._rules.write_resumed(leg.id)

    def leg_ended(self, leg: Leg, reason: CloseReason, detail: str) -> None:
        self._do(self._rules.close(leg.id, reason, detail, boottime()))

    def leg_disconnected(self, leg: Leg) -> None:
        self._do(self._rules.disconnected(leg.id))
        if self._legs.pop(leg.id, None) is not None:
            self._account_for(leg)
        if not self._legs:
            self._empty.set()

    # Commands of the rules.

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            leg = self._legs.get(command.leg)
            if leg is None:
                continue
            match command:
                case Send(_, message):
                    leg.send(message)
                case Join(_, partner):
                    other = self._legs[partner]
                    leg.partner, other.partner = other, leg
                case Part():
                    partner_leg, leg.partner = leg.partner, None
                    if partner_leg is not None:
                        partner_leg.flush()
                case DropMessage():
                    leg.drop(DropReason.NO_PARTNER)
                case Admit(_, session, side):
                    leg.session, leg.side = session, side
                    self._admitted += 1
                    self._limits.settled(leg.peer)
                    self._ctx.log.info(LEG_ADMITTED, leg=leg.id, session=session, side=side.value)
                case Trust():
                    self._limits.settled(leg.peer)
                case CloseLeg(_, reason, detail):
                    self._metrics.closed[reason].inc()
                    leg.close(reason, detail)
                case Abort():
                    leg.abort()

    # The clock.

    async def _tick(self) -> None:
        """One ticker for all legs."""
        while True:
            now = boottime()
            self._do(self._rules.due(now))
            self._show()
            self._renew_certificate(now)
            self._ctx.healthy()
            deadline = self._rules.deadline()
            wait_s = TICK_S if deadline is None else min(TICK_S, deadline - now)
            await asyncio.sleep(max(MIN_TICK_S, wait_s))

    def _renew_certificate(self, now: float) -> None:
        """Legs that are up keep what they have; the next handshake gets what is on the disk."""
        if self._certificate is None or now < self._certificate_due:
            return
        self._certificate_due = now + self._config.certificate_check_s
        try:
            if self._certificate.refresh():
                self._ctx.log.info(CERTIFICATE_RENEWED)
        except StartError as exc:
            reason = f"{exc}; legs get the old one until then"
            self._ctx.log.warning(CERTIFICATE_UNUSABLE, reason=reason)

    def _show(self) -> None:
        metrics, total = self._metrics, self._total
        metrics.legs.set(self._admitted)
        metrics.pending.set(self._limits.pending)
        metrics.channels.set(self._rules.channel_count)
        metrics.relayed_bytes.inc(total.bytes)
        metrics.relayed_messages.inc(total.messages)
        for reason, dropped in total.dropped.items():
            metrics.dropped[reason].inc(dropped)
        total.reset()

    # The end of a leg, and of all.

    def _account_for(self, leg: Leg) -> None:
        """One line that says all about a leg."""
        if leg.session is not None:
            self._admitted -= 1
        reason, detail = leg.end or (None, "")
        host = str(leg.peer[0]) if leg.peer else ""
        self._log.info(
            LEG_CLOSED,
            once_per=(leg.session or host, leg.side, reason),
            leg=leg.id,
            session=leg.session,
            side=leg.side.value if leg.side is not None else None,
            # Of a leg that proved nothing, the address is all there is to know.
            address=host if leg.session is None else None,
            reason=reason.name if reason is not None else "DISCONNECTED",
            detail=detail,
            duration_s=round(boottime() - leg.opened_at, 1),
            sent_bytes=leg.traffic.bytes,
            sent_messages=leg.traffic.messages,
            dropped={r.value: n for r, n in leg.traffic.dropped.items() if n},
        )

    async def _say_goodbye(self) -> None:
        """1. Tell each leg when to come back. 2. Close it. 3. Cut off who does not read that."""
        for leg in self._rules.open_legs:
            self._do(self._goodbye_to(leg))
        try:
            async with asyncio.timeout(CLOSE_LINGER_S):
                await self._empty.wait()
        except TimeoutError:
            for remaining in tuple(self._legs.values()):
                remaining.abort()
            await self._empty.wait()

    def _goodbye_to(self, leg: LegId) -> list[Command]:
        retry_in_ms = RETRY_IN_MS + random.randrange(RETRY_SPREAD_MS)  # noqa: S311 - no secret
        restarting = Send(leg, relay.encode(relay.Restarting(retry_in_ms)))
        closing = self._rules.close(leg, CloseReason.SHUTTING_DOWN, "the relay ends", boottime())
        return [restarting, *closing]

    # Internals.

    def _new_leg(self) -> Leg:
        number = LegId(next(self._numbers))
        config = self._config
        return Leg(number, self, self._total, config.queue_bytes, config.receive_bytes_per_s)

    def _accept_refused(self, reason: RefusedAccept) -> None:
        self._metrics.refused[reason].inc()
        self._log.warning(ACCEPT_REFUSED, once_per=reason, reason=reason.value)


def _read_key(path: Path) -> OKPKey:
    try:
        return load_key(path.read_bytes())
    except OSError as exc:
        fault = exc.strerror or str(exc)
    except DecodeError as exc:
        fault = str(exc)
    raise StartError(
        f"token_keys: {path} cannot be used: {fault}; "
        "copy the control plane's public token key (PEM) there"
    )
