"""The one error form: `{type, errors: [{code, detail, attr}], request_id}`."""

from typing import Any

from drf_standardized_errors.formatter import ExceptionFormatter as BaseFormatter
from drf_standardized_errors.handler import exception_handler as base_handler
from rest_framework.response import Response

exception_handler = base_handler


class ExceptionFormatter(BaseFormatter):
    def format_error_response(self, error_response: Any) -> Any:
        body = super().format_error_response(error_response)
        request = self.context.get("request")
        body["request_id"] = getattr(request, "request_id", None)
        return body


__all__ = ["ExceptionFormatter", "Response", "exception_handler"]
