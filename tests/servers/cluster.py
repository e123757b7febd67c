"""A real Apache Kafka in KRaft mode: one node in 3 s, or three (each broker and controller) in 12
s.
"""

from __future__ import annotations

import base64
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers import jars
from tests.servers.admin import Kafka
from tests.servers.child import Child, ServerError, free_port

# On two shared cores the cheap compiler and collector halve the time to start.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
START_S = 120.0


@dataclass(frozen=True)
class Listener:
    """One more door of every node: `name` upper case, `protocol` as Kafka spells it, `options`
    below its name.
    """

    name: str
    protocol: str
    options: Mapping[str, str] = field(default_factory=dict)

    def properties(self) -> dict[str, str]:
        return {
            f"listener.name.{self.name.lower()}.{key}": value for key, value in self.options.items()
        }


@dataclass(frozen=True)
class _Node:
    number: int
    directory: Path
    ports: Mapping[str, int]  # by listener
    uuid: str
    child: Child

    @property
    def properties(self) -> Path:
        return self.directory / "server.properties"

    def address(self, listener: str) -> str:
        return f"127.0.0.1:{self.ports[listener]}"


class KafkaCluster(Kafka):
    """Nodes 1..n below `directory`. Every node has a PLAINTEXT door for the tests, and those of
    `listeners`.

    `scram` are credentials as `kafka-storage format --add-scram` takes them; `properties` win over
    ours.
    """

    def __init__(
        self,
        directory: Path,
        nodes: int = 1,
        *,
        listeners: Sequence[Listener] = (),
        scram: Iterable[str] = (),
        properties: Mapping[str, object] | None = None,
        jvm: Sequence[str] = (),
        advertised: str = "127.0.0.1",
    ) -> None:
        self._listeners = (
            Listener("CONTROLLER", "PLAINTEXT"),
            Listener("PLAINTEXT", "PLAINTEXT"),
            *listeners,
        )
        self._scram, self._own, self._jvm = tuple(scram), dict(properties or {}), tuple(jvm)
        self._advertised = advertised  # the host that the nodes send their clients on to
        self._uuid = _uuid()
        self._classpath = jars.classpath()
        self._nodes = {
            n: self._node(n, directory / f"node-{n}", 512 if nodes == 1 else 384)
            for n in _count(nodes)
        }
        self._formatted = False
        super().__init__(self.at("PLAINTEXT"), replicas=min(3, nodes))

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(self._nodes)

    def at(self, listener: str) -> str:
        """Addresses of a listener, as bootstrap_servers takes them."""
        return ",".join(node.address(listener) for node in self._nodes.values())

    def log(self, node: int = 1) -> str:
        """The end of a node's log."""
        return self._nodes[node].child.tail(200)

    def start(self, node: int | None = None) -> Self:
        """Start one node, or all that do not run, and wait until they answer."""
        if not self._formatted:
            self._format()
        wanted = list(self._nodes.values()) if node is None else [self._nodes[node]]
        for one in wanted:
            one.child.start()
        for one in wanted:
            one.child.wait_ready(lambda one=one: self._up(one), START_S)  # type: ignore[misc]
        return self

    def _up(self, node: _Node) -> bool:
        """The node answers, and the cluster counts it among its brokers: fenced ones
        are not named.
        """
        return node.number in Kafka(node.address("PLAINTEXT")).brokers()

    def stop(self, node: int = 1) -> None:
        """A clean shutdown: leadership moves first."""
        self._nodes[node].child.stop()

    def kill(self, node: int = 1) -> None:
        self._nodes[node].child.kill()

    def pause(self, node: int = 1) -> None:
        """The node's process stands still: its connections stay open and say nothing."""
        self._nodes[node].child.pause()

    def resume(self, node: int = 1) -> None:
        self._nodes[node].child.resume()

    def running(self, node: int = 1) -> bool:
        return self._nodes[node].child.running

    def close(self) -> None:
        """Kill every node and remove its data; the logs stay."""
        for node in self._nodes.values():
            node.child.kill()
            shutil.rmtree(node.directory / "data", ignore_errors=True)

    def _node(self, number: int, directory: Path, heap_mib: int) -> _Node:
        directory.mkdir(parents=True, exist_ok=True)
        java = self._java(f"-Xmx{heap_mib}m", *self._jvm)
        child = Child(
            [*java, "kafka.Kafka", str(directory / "server.properties")], directory / "kafka.log"
        )
        ports = {listener.name: free_port() for listener in self._listeners}
        return _Node(number, directory, ports, _uuid(), child)

    def _java(self, *options: str) -> list[str]:
        return ["java", *_JVM, *options, "-cp", self._classpath]

    def _format(self) -> None:
        for node in self._nodes.values():
            node.properties.write_text(
                "".join(f"{k}={v}\n" for k, v in self._properties(node).items())
            )
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._format_node, self._nodes.values()))
        self._formatted = True

    def _format_node(self, node: _Node) -> None:
        voters = ",".join(
            f"{n.number}@{n.address('CONTROLLER')}:{n.uuid}" for n in self._nodes.values()
        )
        scram = [word for one in self._scram for word in ("--add-scram", one)]
        command = [
            "kafka.tools.StorageTool",
            "format",
            "-t",
            self._uuid,
            "-c",
            str(node.properties),
            *scram,
        ]
        told = subprocess.run(
            [*self._java(), *command, "--initial-controllers", voters],
            check=False,
            capture_output=True,
            text=True,
        )
        if told.returncode:
            raise ServerError(f"could not format node {node.number}: {told.stdout}{told.stderr}")

    def _properties(self, node: _Node) -> dict[str, object]:
        doors = [listener.name for listener in self._listeners]
        addresses = {name: f"{name}://{node.address(name)}" for name in doors}
        told = (
            f"{name}://{self._advertised}:{node.ports[name]}"
            for name in doors
            if name != "CONTROLLER"
        )
        ours: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": node.number,
            "controller.quorum.bootstrap.servers": self.at("CONTROLLER"),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(addresses.values()),
            "advertised.listeners": ",".join(told),
            "listener.security.protocol.map": ",".join(
                f"{one.name}:{one.protocol}" for one in self._listeners
            ),
            "log.dirs": node.directory / "data",
        }
        for listener in self._listeners:
            ours |= listener.properties()
        return ours | _habits(len(self._nodes)) | self._own


def _habits(nodes: int) -> dict[str, object]:
    """As a careful cluster is run, only smaller, and with retention looked at every second."""
    copies = min(3, nodes)
    safe = max(1, copies - 1)
    # A killed node may not register again while its old session lives; alone, nobody waits for that
    # to elect.
    alone: dict[str, object] = {
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
    }
    return (alone if nodes == 1 else {}) | {
        "min.insync.replicas": safe,
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": safe,
        "transaction.state.log.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": safe,
        "share.coordinator.state.topic.num.partitions": 2,
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "log.initial.task.delay.ms": 500,
        "log.retention.check.interval.ms": 1000,
        "log.cleaner.dedupe.buffer.size": 8 << 20,
    }


def _count(nodes: int) -> range:
    return range(1, nodes + 1)


def _uuid() -> str:
    """As Kafka writes them; one that starts with a minus would be read as an option."""
    text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
    return text if text[0].isalnum() else _uuid()
