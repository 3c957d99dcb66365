"""Stored files leave so that an interrupted transfer goes on: ranges, ETag, conditions, HEAD."""

import re
from typing import cast
from urllib.parse import quote

from django.conf import settings
from django.core.files.base import File
from django.http import FileResponse, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.request import Request
from whitenoise.responders import SlicedFile

from apps.core.exceptions import UnsatisfiableRange

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def send(
    request: Request, content: File[bytes], *, etag: str, headers: dict[str, str]
) -> HttpResponseBase:
    """The file, or the part that is asked for; its bytes by nginx where it has them, by their name.

    Conditions and ranges are judged here in both cases. Raises UnsatisfiableRange.
    """
    size, headers = content.size, headers | {"ETag": f'"{etag}"'}
    answered = get_conditional_response(
        request._request, etag=headers["ETag"], response=HttpResponse(headers=headers)
    )
    if answered is None or answered.status_code != 200:
        content.close()
        return cast(HttpResponse, answered)
    try:
        part = wanted_part(request, headers["ETag"], size)
    except UnsatisfiableRange:
        content.close()
        raise
    if settings.ACCEL_PREFIXE and content.name:
        content.close()
        place = settings.ACCEL_PREFIXE + quote(str(content.name))
        return HttpResponse(headers=headers | {"X-Accel-Redirect": place})
    return _from_here(request, content, size, part, headers | {"Accept-Ranges": "bytes"})


def _from_here(
    request: Request,
    content: File[bytes],
    size: int,
    part: range | None,
    headers: dict[str, str],
) -> HttpResponseBase:
    if part is None:
        response = FileResponse(content)
        headers["Content-Length"] = str(size)
    else:
        response = FileResponse(SlicedFile(content, part.start, part.stop - 1), status=206)
        headers["Content-Length"] = str(len(part))
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    # After its own, which it makes of the name on the disk.
    for name, value in headers.items():
        response[name] = value
    if request.method == "HEAD":
        # Servers differ in whether they drop the body themselves; the headers stay.
        response.streaming_content = []
    return response


def wanted_part(request: Request, etag: str, size: int) -> range | None:
    """None: the whole, also for several ranges, or where the file is not the one begun with."""
    asked = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if request.method != "GET" or not asked or request.headers.get("If-Range", etag) != etag:
        return None
    first, last = asked.groups()
    if not first:
        return _last_bytes(last, size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise UnsatisfiableRange(size)
    return range(int(first), min(int(last) + 1, size) if last else size)


def _last_bytes(number: str, size: int) -> range | None:
    if not number:
        return None
    if not int(number):
        raise UnsatisfiableRange(size)
    return range(max(size - int(number), 0), size)
