"""A browser as far as plain forms go: cookies, hidden fields, redirects. For the AMS page."""

from __future__ import annotations

import http.client
import re
from html import unescape
from urllib.parse import urlencode

from testbed.waiting import SLOWNESS

TIMEOUT_S = 15 * SLOWNESS
SEE_OTHER = 303


class Browser:
    """One visitor of a page on this machine's loopback."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}
        self.status = 0
        self.text = ""

    def get(self, path: str) -> str:
        return self._request("GET", path, None)

    def submit(self, path: str, **fields: str) -> str:
        """Send a form; the page's CSRF field is taken from the page shown last."""
        hidden = re.search(r'name="csrf" value="([^"]+)"', self.text)
        if hidden:
            fields = {"csrf": unescape(hidden[1]), **fields}
        return self._request("POST", path, urlencode(fields))

    def _request(self, method: str, path: str, body: str | None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self._cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Origin"] = f"http://127.0.0.1:{self._port}"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            self.text = response.read().decode()
        finally:
            connection.close()
        self.status = response.status
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        if self.status == SEE_OTHER:
            return self.get(response.headers["Location"])
        return self.text
