"""A local HTTP server that stands in for the download hosts and imitates their behaviour."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Trick = Callable[["Handler", "Page"], None]


@dataclass
class Page:
    """A file on the server: its bytes, how they are served, and tricks for the first requests."""

    content: bytes
    type: str = "application/octet-stream"
    ranges: bool = True
    etag: str | None = '"v1"'
    length: bool = True
    tricks: list[Trick] = field(default_factory=list)
    waits_for: threading.Event | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves the server's pages, whole or as a byte range."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.answer(404, b"nothing here")
        elif page.tricks:
            page.tricks.pop(0)(self, page)
        else:
            self.serve(page)

    def serve(self, page: Page, upto: int | None = None) -> None:
        """Serve the page; with ``upto``, break the connection after that many bytes."""
        if page.waits_for:
            page.waits_for.wait(20)
        start = 0
        asked = self.headers.get("Range")
        if asked and page.ranges and self.headers.get("If-Range") in (None, page.etag):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(page.content):
                head = {"Content-Range": f"bytes */{len(page.content)}"}
                self.answer(416, b"", head)
                return
        body = page.content[start:]
        head = {"Content-Type": page.type}
        if page.etag:
            head["ETag"] = page.etag
        if start:
            head["Content-Range"] = f"bytes {start}-{len(page.content) - 1}/{len(page.content)}"
        self.send_response(206 if start else 200)
        for name, value in head.items():
            self.send_header(name, value)
        if page.length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body if upto is None else body[:upto])
        if upto is not None:
            self.close_connection = True

    def answer(self, status: int, body: bytes, head: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (head or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """The server, with its ``pages`` by path and the ``requests`` in order of arrival."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, path: str, content: bytes, *tricks: Trick, **how: Any) -> Page:
        self.pages[path] = Page(content, tricks=list(tricks), **how)
        return self.pages[path]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that disconnects is part of the tests


def status(code: int, **head: str) -> Trick:
    """Return a trick that answers once with status ``code``."""
    named = {name.replace("_", "-"): value for name, value in head.items()}
    return lambda handler, page: handler.answer(code, b"busy", named)


def broken(after: int) -> Trick:
    """Return a trick that breaks the connection once, after some bytes."""
    return lambda handler, page: handler.serve(page, upto=after)
