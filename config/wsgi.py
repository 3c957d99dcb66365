from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

from config.env import configure


class Utf8Request(WSGIRequest):
    """Reads UTF-8 whatever charset the client names: Django dies of `charset=zlib` otherwise."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        content_type = meta.get("CONTENT_TYPE", "")
        self.content_type, self.content_params = parse_header_parameters(content_type)


configure()
application = get_wsgi_application()
application.request_class = Utf8Request
