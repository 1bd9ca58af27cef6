"""A small client of controld's HTTP API, through a doorway; TLS is checked for the real name."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

from testbed.errors import BedError
from testbed.waiting import SLOWNESS

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 15 * SLOWNESS


class ApiError(BedError):
    """An answer that is no success; `code` is machine-readable."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", ""))
        super().__init__(f"{status} {self.code}: {problem.get('detail', '')}")


class ApiClient:
    """One logged-in user."""

    def __init__(self, port: int, host: str, ca: Path, token: str = "") -> None:
        self._port = port
        self._host = host
        self._ca = ca
        self._token = token

    def login(self, name: str, password: str) -> ApiClient:
        answer = self.post("/api/v1/login", {"name": name, "password": password})
        return ApiClient(self._port, self._host, self._ca, answer["token"])

    def first_login(self, name: str, one_time: str, password: str) -> ApiClient:
        """Change the one-time password, and stay logged in with the new one."""
        first = self.login(name, one_time)
        first.post("/api/v1/password", {"old": one_time, "new": password})
        self._token = self.login(name, password)._token  # noqa: SLF001 - of the same class
        return self

    def another(self) -> ApiClient:
        """A client that nobody is logged in with yet."""
        return ApiClient(self._port, self._host, self._ca)

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self._call("GET", path, None)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        return self._call("POST", path, body)

    def put(self, path: str, body: dict[str, Any], revision: int) -> Any:  # noqa: ANN401 - JSON
        """Change what still has this revision."""
        return self._call("PUT", path, body, {"If-Match": f'"{revision}"'})

    def delete(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self._call("DELETE", path, None)

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        further: dict[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        context = ssl.create_default_context(cafile=str(self._ca))
        raw = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        try:
            # The doorway's address is not the server's; the certificate is checked for its name.
            connection.sock = context.wrap_socket(raw, server_hostname=self._host)
            headers = {"Content-Type": "application/json", **(further or {})}
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
            raw.close()
        answer = json.loads(text) if text else {}
        if response.status >= http.client.BAD_REQUEST:
            raise ApiError(response.status, answer)
        return answer
