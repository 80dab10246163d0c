"""Tokens and passwords: read from the environment, never shown, never written."""

import os
import re

_SECRET = re.compile(r"TOKEN(?!IZER)|PASSWORD|SECRET|PASSWD|API_KEY")
_QUERY = re.compile(r"(\w+://[^\s?'\"]+)\?[^\s'\")]+")


def token(variable: str) -> str | None:
    """Return a token from the environment; None if it is unset or empty."""
    return os.environ.get(variable, "").strip() or None


def is_secret(variable: str) -> bool:
    """Return whether the name of an environment variable is that of a secret."""
    return bool(_SECRET.search(variable.upper()))


def redacted(text: str) -> str:
    """Return ``text`` without the values of secret variables and the queries of addresses."""
    values = [v for n, v in os.environ.items() if is_secret(n) and len(v) >= 4]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return _QUERY.sub(r"\1", text)
