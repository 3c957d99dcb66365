"""What an answer costs on a slow line: who may keep it, whether it changed, and its bytes."""

import gzip
import hashlib
import re
from collections.abc import Callable
from typing import Any

import brotli  # type: ignore[import-untyped]
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import error_response, is_api

READS = ("GET", "HEAD")

# Below, what is saved is not worth its headers.
COMPRESSED_FROM = 256
# In the order we prefer; levels that keep a page of the list under a millisecond.
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "br": lambda content: brotli.compress(content, quality=5),
    "gzip": lambda content: gzip.compress(content, 6, mtime=0),
}
_OFFER = re.compile(r"\s*([a-z-]+)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?")
# PDFs and images are compressed as they are, and have ranges that count in their own bytes.
TEXTS = ("application/json", "application/vnd.oai.openapi", "text/")


def weak_etag(content: bytes) -> str:
    """Weak: it names what is said, whichever its encoding."""
    return f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


class PublicReads:
    """Of a view: what it reads to nobody in particular, anybody's proxy may keep for a while."""

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        answer: Response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        if answer.status_code < 400 and not request.user.is_authenticated:
            lasts = settings.CATALOGUE_CACHE_SECONDES
            kept = f"public, max-age={lasts}, stale-while-revalidate={5 * lasts}"
            answer.setdefault("Cache-Control", kept)
        return answer


class ApiCacheMiddleware:
    """One rule for every answer of the API.

    Writes and failures are kept by nobody. What is read is kept by who read it, and asked for
    again each time, unless the view says better; the answer is a 304 where it has not changed.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not is_api(request):
            return response
        if request.method in READS and response.status_code < 400:
            response = unless_known(request, response)
        if response.status_code == 412:
            detail = "Ce n'est plus ce que nomme If-Match : relisez, puis recommencez."
            response = error_response(request, 412, "precondition", detail)
        if request.method not in READS or response.status_code >= 400:
            response["Cache-Control"] = "no-store"
        return response


def unless_known(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """What was read, with what a cache has to know of it; a 304 if the client has it already."""
    response.setdefault("Cache-Control", "private, no-cache")
    patch_vary_headers(response, ("Authorization",))
    if not isinstance(response, HttpResponse) or not response.content:
        return response  # A file judges its conditions itself: see sending.py.
    patch_vary_headers(response, ("Accept-Encoding",))  # On a 304 and on what is short, too.
    response.setdefault("ETag", weak_etag(response.content))
    return get_conditional_response(request, response["ETag"], response=response) or response


class CompressionMiddleware:
    """Compress what is read, where it is text.

    Never what a write answers: tokens and links, whose length would tell (BREACH).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.method in READS and isinstance(response, HttpResponse):
            compress(request, response)
        return response


def compress(request: HttpRequest, response: HttpResponse) -> None:
    is_text = response.get("Content-Type", "").startswith(TEXTS)
    if not is_text or "Content-Encoding" in response or len(response.content) < COMPRESSED_FROM:
        return
    patch_vary_headers(response, ("Accept-Encoding",))
    encoding = encoding_for(request.headers.get("Accept-Encoding", ""))
    if encoding is not None:
        response.content = ENCODERS[encoding](response.content)
        response["Content-Encoding"] = encoding
        response["Content-Length"] = str(len(response.content))


def encoding_for(accepted: str) -> str | None:
    """Ours among those that the client takes; of its preferences only the refusals count."""
    offers = map(_OFFER.fullmatch, accepted.lower().split(","))
    taken = {offer[1] for offer in offers if offer and float(offer[2] or 1) > 0}
    return next((name for name in ENCODERS if name in taken), None)
