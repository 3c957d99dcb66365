"""Bodies, bounded in size and depth, read as UTF-8 whatever charset the client names."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from django.conf import settings
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from apps.core.exceptions import TooLarge

DEPTH_MAX = 20


class JSONParser(parsers.JSONParser):
    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise TooLarge
        try:
            data = super().parse(BytesIO(body), media_type, {"encoding": "utf-8"})
        except RecursionError:
            data = None
            too_deep = True
        except ParseError:
            raise ParseError(
                "Ce corps n'est pas du JSON lisible : UTF-8, guillemets doubles, ni NaN ni infini."
            ) from None
        else:
            too_deep = _deeper_than(DEPTH_MAX, data)
        if too_deep:
            raise ParseError("Ce JSON est trop imbriqué.")
        return data


def _deeper_than(depth: int, data: Any) -> bool:
    level = [data]
    for _ in range(depth):
        level = [child for node in level for child in _children(node)]
    return bool(level)


def _children(node: Any) -> Any:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


class MultiPartParser(parsers.MultiPartParser):
    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Refuse by the announced length, before a byte is written to the disk."""
        context = dict(parser_context or {}) | {"encoding": "utf-8"}
        most = 2 * settings.TAILLE_MAX_OCTETS + settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if int(context["request"].META.get("CONTENT_LENGTH") or 0) > most:
            raise TooLarge
        try:
            return super().parse(stream, media_type, context)
        except ParseError:
            raise ParseError(
                "Ce corps multipart est illisible : laissez votre client écrire son Content-Type."
            ) from None
