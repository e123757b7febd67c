"""Shared arguments of consumer, producer and admin client, and a client with bounded waits."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from streamer.connect.kafka.client import client_log, security

if TYPE_CHECKING:
    from streamer.config import Kafka

T = TypeVar("T")

BACKOFF_MS = 50
# With the client's own 30 s, producers were silent for 24-29 s after their broker was back; with 1
# s it is 3 s.
MAX_BACKOFF_MS = 1000
RETRY_MS = 100
METADATA_AGE_MS = 60_000  # delay until a new partition is seen
KEEP_ALIVE = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]


def options(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments of kafka-python for consumer, producer and admin client.

    Their repr shows no secret. Also installs the log limit. ConfigError if a file of
    `kafka.security` cannot be used.
    """
    client_log.tame()
    timeout_ms = max(1, round(kafka.request_timeout * 1000))
    return {
        "bootstrap_servers": list(kafka.bootstrap_servers),
        "client_id": kafka.client_id,
        "request_timeout_ms": timeout_ms,
        "bootstrap_timeout_ms": timeout_ms,
        "reconnect_backoff_ms": BACKOFF_MS,
        "reconnect_backoff_max_ms": MAX_BACKOFF_MS,
        "retry_backoff_ms": RETRY_MS,
        "metadata_max_age_ms": METADATA_AGE_MS,
        "socket_options": KEEP_ALIVE,
        "kafka_client": net_client(),
        **security.options(kafka),
    }


def connect(make: Callable[..., T], kafka: Kafka, **more: Any) -> T:
    """Return make(...), where `make` is KafkaConsumer, KafkaProducer or KafkaAdminClient.

    If it fails, its error is raised and its thread is stopped: the client starts a thread before it
    looks for a broker, and leaks it on failure. Log lines of the client are held back meanwhile,
    because the error reports an unreachable broker.
    """
    made: list[Any] = []

    def client(**configs: Any) -> Any:
        made.append(net_client()(**configs))
        return made[-1]

    with client_log.tame().hushed():
        try:
            return make(**{**options(kafka), **more, "kafka_client": client})
        except BaseException:
            for each in made:
                each.close()
            raise


@cache
def net_client() -> type:
    """Return a KafkaNetClient with a bounded TLS handshake that survives unknown leaders.

    It requests metadata when the metadata lacks a leader, instead of failing forever.
    """
    from kafka.errors import UnknownBrokerIdError
    from kafka.net.compat import KafkaNetClient
    from kafka.net.selector import NetworkSelector

    class NetClient(KafkaNetClient):  # type: ignore[misc] # the library has no types
        def __init__(self, **configs: Any) -> None:
            setup_ms = configs.get("request_timeout_ms", 10_000)
            limits = {
                "socket_connection_setup_timeout_ms": setup_ms,
                "socket_connection_setup_timeout_max_ms": setup_ms,
            }
            net = NetworkSelector(**configs)
            super().__init__(net=net, manager=_manager()(net, **configs, **limits))

        def maybe_connect(self, node_id: Any, **kwargs: Any) -> None:
            """Request metadata if the metadata does not name the node.

            The library raises in that case, so the sender would fail before every poll.
            """
            try:
                super().maybe_connect(node_id, **kwargs)
            except UnknownBrokerIdError:
                self.cluster.request_update()

        def connection_delay(self, node_id: Any) -> float:
            """Milliseconds to wait for a node that is not ready; 0 in a consumer outside backoff.

            The producer's loop waits that long. The library returns seconds where milliseconds are
            expected, and 0 for a node that is connecting, so the loop would spin during an outage.
            """
            delay_ms = float(super().connection_delay(node_id)) * 1000
            drives_itself = self._net._io_thread is None
            return delay_ms or (RETRY_MS if drives_itself and not self.is_ready(node_id) else 0.0)

    return NetClient


@cache
def _manager() -> type:
    from kafka.errors import KafkaConnectionError
    from kafka.future import Future
    from kafka.net.manager import KafkaConnectionManager

    class Manager(KafkaConnectionManager):  # type: ignore[misc] # the library has no types
        async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
            """Connect TCP and TLS within the connection's timeout.

            The library waits forever for a silent TLS peer.
            """
            done, stock = Future(), super()._build_transport

            async def build() -> None:
                try:
                    done.success(await stock(node, timeout_at=timeout_at))
                except Exception as exc:  # raised in the waiting coroutine
                    done.failure(exc)

            def give_up() -> None:
                if not done.is_done:
                    self._net.cancel(task)
                    done.failure(
                        KafkaConnectionError(
                            f"no TLS handshake with {node.host}:{node.port} in time"
                        )
                    )

            task = self._net.call_soon(build)
            limit_at = time.monotonic() + self.config["socket_connection_setup_timeout_ms"] / 1000
            timer = self._net.call_at(min(limit_at, timeout_at or limit_at), give_up)
            try:
                return await done
            finally:
                self._net.cancel(timer)

    return Manager
