"""The HTTP server in its own thread, bound at start and stopped with the service."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from streamer.errors import ConfigError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

STOP_S = 3.0
BACKLOG = 128


class HttpServer:
    """One listening address, bound by the constructor; ConfigError if it cannot be bound."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        import uvicorn

        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
            limit_concurrency=100,
        )
        try:
            self._socket = config.bind_socket()
            self._socket.listen(BACKLOG)
        # uvicorn raises SystemExit if it cannot bind the address
        except (SystemExit, OSError) as exc:
            why = exc.__context__ if isinstance(exc, SystemExit) else exc
            problem = (
                f"cannot listen on {host}:{port}: {why}; choose another address or stop its owner"
            )
            raise ConfigError("server.listen", problem) from exc
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that are bound; port 0 is replaced by the chosen one."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the open requests, then close. Idempotent."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])
