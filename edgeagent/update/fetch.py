"""Shell: brings a repository's files from a folder or a web server, for python-tuf, which bounds their size.

A server that sends too slowly is given up: an attacker could hold a board to old metadata that way (slow retrieval).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from edgeagent.errors import ConfigError

from .tuf_library import FetcherInterface, exceptions

CHUNK = 64 << 10
"""Bytes."""
LEAST_RATE = 1024
"""Bytes a second that a fetch must reach after GRACE_S."""
GRACE_S = 30.0
SOCKET_S = 30.0
"""Longest silence of a server."""
OK, NOT_FOUND = 200, 404


class FolderFetcher(FetcherInterface):
    """file:// URLs: a USB stick, a mounted share."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(urlsplit(url).path))
        if not path.is_file():
            raise exceptions.DownloadHTTPError(f"{path} isn't there", NOT_FOUND)
        return _chunks(path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


class WebFetcher(FetcherInterface):
    """http:// and https:// URLs, through the proxy that the environment names.

    Bytes are handed on as they come: python-tuf's own fetcher waits for a full chunk, which a slow server never fills.
    """

    def _fetch(self, url: str) -> Iterator[bytes]:
        parts = urlsplit(url)
        proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
        timeout = urllib3.Timeout(SOCKET_S)
        pool = urllib3.ProxyManager(proxy, timeout=timeout) if proxy else urllib3.PoolManager(timeout=timeout)
        with pool:
            try:
                yield from _body(pool, url)
            except urllib3.exceptions.HTTPError as error:
                raise exceptions.DownloadError(f"{url}: {error}") from error


def _body(pool: urllib3.PoolManager, url: str) -> Iterator[bytes]:
    answer = pool.request("GET", url, preload_content=False, retries=False, decode_content=False)
    try:
        if answer.status != OK:
            raise exceptions.DownloadHTTPError(f"{url}: HTTP status {answer.status}", answer.status)
        while chunk := answer.read1(CHUNK):
            yield chunk
    finally:
        answer.close()


class Fetcher(FetcherInterface):
    """Picks by scheme, and watches the pace."""

    def __init__(self, least_rate: int = LEAST_RATE, grace_s: float = GRACE_S) -> None:
        web = WebFetcher()
        self._by_scheme: dict[str, FetcherInterface] = {"file": FolderFetcher(), "http": web, "https": web}
        self._least_rate = least_rate
        self._grace_s = grace_s

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._paced(url, self._by_scheme[urlsplit(url).scheme].fetch(url))

    def _paced(self, url: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        began, size = time.monotonic(), 0
        for chunk in chunks:
            size += len(chunk)
            yield chunk
            if time.monotonic() - began > self._grace_s + size / self._least_rate:
                raise exceptions.SlowRetrievalError(
                    f"{url} came slower than {self._least_rate} bytes a second"
                )


def repository_url(where: str) -> str:
    """A URL as it is, a folder as file://. ConfigError for another scheme."""
    scheme = urlsplit(where).scheme
    if scheme in ("http", "https", "file"):
        return where
    if scheme:
        raise ConfigError("a repository is a folder, or at http:, https: or file:", where=where)
    return Path(where).resolve().as_uri()
