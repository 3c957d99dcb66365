"""What a line of the log says: which request it is about, and no secret."""

import datetime as dt
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="-")

HIDDEN = "***"
_NAMES = "password passwd mot_de_passe secret authorization cookie jeton token refresh".split()
# Bounded, as all that repeats here: a path may be 8 kB of "token", and costs no second.
_NAMED = rf"(?:{'|'.join(_NAMES)})\w{{0,20}}"
_IS = r"\s{0,3}[:=]\s{0,3}"
# Looking for a word first takes a hundredth of the time of looking for its pattern.
_SECRETS = [
    (hints, re.compile(pattern, re.IGNORECASE), replacement)
    for hints, pattern, replacement in (
        # A link that opens a file, or a new password.
        (["/fichiers/"], r"(?<=/fichiers/)[^/\s\"']+", HIDDEN),
        # Whose link or account it is: a number, plain or encoded.
        (["/mot-de-passe/"], r"(?<=/mot-de-passe/)[^/\s\"']+(?=/[^/\s])", HIDDEN),
        (["/core/user/"], r"(?<=/core/user/)[0-9]+", HIDDEN),
        (["-"], r"\b[0-9a-z]{4,13}-[0-9a-f]{32}\b", HIDDEN),
        (["eyj"], r"\beyJ[\w.-]+", HIDDEN),
        (["bearer", "basic"], r"\b(bearer|basic)\s+[^\s\"',]+", rf"\1 {HIDDEN}"),
        (_NAMES, rf"({_NAMED}\\?[\"']?{_IS})(\\?[\"'])(?:(?!\2).)*\2", rf"\1{HIDDEN}"),
        (_NAMES, rf"({_NAMED}{_IS})[^\s\"'\\,;&)}}]+", rf"\1{HIDDEN}"),
        # The scheme of a URL ends where a name and a password may begin.
        (["://"], r"(?<=://)[^\s/@]{1,200}@", f"{HIDDEN}@"),
        (["@"], r"[\w.+-]{1,64}@[\w.-]+", HIDDEN),
    )
]
_PLAIN = (int, float, dt.datetime, type(None))


@contextmanager
def about(an_id: str) -> Iterator[None]:
    """Every line of the block carries this id: that of the request which asked for the work."""
    before = request_id.set(an_id or "-")
    try:
        yield
    finally:
        request_id.reset(before)


def masked(text: str) -> str:
    lowered = text.lower()
    for hints, pattern, replacement in _SECRETS:
        if any(hint in lowered for hint in hints):
            text = pattern.sub(replacement, text)
    return text


def _shown(name: str, value: str) -> str:
    return HIDDEN if name in _NAMES else masked(value)


class RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class OnlyTraces(logging.Filter):
    """Django has a line for each 4xx and 5xx; we have one for each answer, and keep the traces.

    A database that is away is no fault of the code: its reason says all.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != "django.request" or hasattr(record, "_shortened"):
            return True
        status = getattr(record, "status_code", 500)
        if record.exc_info and status == 503:
            record.msg, record.args = "Service indisponible : %s", (record.exc_info[1],)
            record.exc_info, record._shortened = None, True
            return True
        return bool(record.exc_info) and status >= 500


class Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class Json(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            "{levelname}{name}{process}{request_id}{message}",
            style="{",
            timestamp="date",
            rename_fields={
                "levelname": "niveau",
                "name": "journal",
                "process": "pid",
                "exc_info": "trace",
            },
            reserved_attrs=[*RESERVED_ATTRS, "request", "status_code"],
            json_ensure_ascii=False,
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {
            key: value if isinstance(value, _PLAIN) else _shown(key, str(value))
            for key, value in log_data.items()
        }
