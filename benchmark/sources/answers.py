"""Interpret responses of HTTP servers: status codes, errors, web pages sent instead of files."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from benchmark.sources.patience import (
    DownloadError,
    InterruptedDownloadError,
    UnreachableError,
)

if TYPE_CHECKING:
    from requests import Response

T = TypeVar("T")
_NO_CONNECTION = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectTimeoutError",
    "NameResolutionError",
    "NewConnectionError",
    "ProxyError",
}
TIMEOUT = (10, 60)
"""Timeouts in seconds: to connect, and between two pieces of a response."""

_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
    rb"(?:<!doctype html|<html)",
    re.IGNORECASE | re.DOTALL,
)
"""Beginning of a web page, also behind a byte order mark or comments."""

_BUSY = {408, 425, 429, 500, 502, 503, 504, 520, 522, 524}


def host_of(url: str) -> str:
    """Return the host name of an address."""
    return urlsplit(url).hostname or url


def shown(url: str) -> str:
    """Return an address for messages, without its query, which may hold a signature or a token."""
    return f"{urlsplit(url).scheme}://{host_of(url)}{urlsplit(url).path}"


def with_download_errors(url: str, action: Callable[[], T]) -> T:
    """Call ``action``, which sends a request, and convert errors of the HTTP libraries to our own.

    Raises `InterruptedDownloadError` where another attempt may help, otherwise `DownloadError`. The
    messages do not contain the query of the address.
    """
    import requests
    import urllib3

    try:
        return action()
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        raise DownloadError(
            f"{host_of(url)} has no valid certificate, so nothing is downloaded. Check the "
            "clock and the certificates of this machine, and its proxy."
        ) from None
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise broken(host_of(url), error) from None
    except requests.RequestException as error:
        problem = f"{shown(url)} could not be requested ({type(error).__name__})."
        raise DownloadError(f"{problem} Check the address in the entry.") from None


def broken(host: str, error: Exception) -> InterruptedDownloadError:
    """Return the error for a lost connection, or for none at all (`UnreachableError`).

    The errors of the libraries (requests on urllib3, and the one used by huggingface_hub) are
    recognised by name, since it varies which library is installed.
    """
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if not _NO_CONNECTION.isdisjoint({type(error).__name__, type(cause).__name__}):
        return UnreachableError(f"no connection to {host} ({type(error).__name__})")
    return InterruptedDownloadError(f"the connection to {host} broke ({type(error).__name__})")


def check_status(response: "Response", url: str) -> None:
    """Raise an error unless the response is a success.

    The error is `InterruptedDownloadError` where another attempt may help, otherwise
    `DownloadError`.
    """
    status, left = response.status_code, response.headers.get("X-RateLimit-Remaining")
    if status in _BUSY or (status == 403 and left == "0"):  # GitHub's rate limit
        raise InterruptedDownloadError(f"{host_of(url)} answered {status}", _retry_after(response))
    if status not in (200, 206):
        raise DownloadError(f"{shown(url)} answered {status}. {_advice(status)}")


def is_page(block: bytes) -> bool:
    """Return whether the first bytes of a file are those of a web page."""
    return bool(_PAGE.match(block[:4096]))


def _retry_after(response: "Response") -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    with suppress(ValueError):
        return parsedate_to_datetime(value).timestamp() - time.time()
    return None


def _advice(status: int) -> str:
    if status in (401, 403):
        return "It needs an account, an agreement or a token, or this network may not have it."
    if status in (404, 410):
        return "The file has moved or is gone: look at the dataset's page for its new place."
    return "Open the address in a browser to see why."
