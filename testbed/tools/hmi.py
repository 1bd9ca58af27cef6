"""An HMI: one web page on port 80."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from testbed.tools.line import say

PAGE = b"<!doctype html><title>HMI</title><h1>Line 3: running</h1>"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    server = ThreadingHTTPServer(("0.0.0.0", 80), Page)  # noqa: S104 - a device in a plant
    say("ready")
    server.serve_forever()


if __name__ == "__main__":
    main()
