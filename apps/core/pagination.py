from typing import Any

from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response


class Pagination(PageNumberPagination):
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100


class OnePage(Pagination):
    """The envelope of every list around one short page, which has no parameter."""

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"count": len(data), "next": None, "previous": None, "results": data})

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return []
