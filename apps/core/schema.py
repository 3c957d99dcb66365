"""What drf-spectacular cannot guess: the one error form."""

from typing import Any

from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.utils import OpenApiResponse
from drf_standardized_errors.openapi import AutoSchema as BaseAutoSchema
from rest_framework import serializers


class ErreurSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Nom stable de l'erreur, pour les programmes.")
    detail = serializers.CharField(help_text="Ce qui ne va pas, pour les personnes.")
    attr = serializers.CharField(allow_null=True, help_text="Champ ou paramètre en cause.")


class ErrorResponseSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField(["validation_error", "client_error", "server_error"])
    errors = ErreurSerializer(many=True)  # type: ignore[assignment]
    request_id = serializers.CharField(
        allow_null=True, help_text="À citer quand vous signalez un problème."
    )
    epreuve = serializers.IntegerField(
        required=False,
        help_text="Avec `fichier_duplique` : celle qui a déjà ce fichier, si vous pouvez la voir.",
    )


ERROR = OpenApiResponse(ErrorResponseSerializer)


ETAG = {
    "schema": {"type": "string"},
    "description": "À renvoyer dans `If-None-Match` : 304 tant que rien n'a changé.",
}
UNCHANGED = {"description": "Inchangé : ce que vous avez est à jour."}


def without_docstrings(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """What a serializer says of itself is for who works on it; its fields have their texts."""
    for component in result.get("components", {}).get("schemas", {}).values():
        if component.get("type") == "object":
            component.pop("description", None)
    return result


class AutoSchema(BaseAutoSchema):
    def get_summary(self) -> str | None:
        """Beside the path, where people look first."""
        return super().get_summary() or self.get_description().partition("\n")[0] or None

    def _should_add_validation_error_response(self) -> bool:
        """A refused query string is a 400 as well as a refused body."""
        asks = any(parameter["in"] == "query" for parameter in self._get_parameters())
        return asks or super()._should_add_validation_error_response()

    def _get_request_body(self, direction: Any = "request") -> Any:
        """Of a DELETE, too, where its view says that it takes one."""
        if self.method == "DELETE" and getattr(self.view, "delete_takes_a_body", False):
            self.method = "POST"
            try:
                return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
            finally:
                self.method = "DELETE"
        return super()._get_request_body(direction)  # type: ignore[no-untyped-call]

    def _get_error_response_serializer(self, status_code: str) -> type[ErrorResponseSerializer]:
        return ErrorResponseSerializer

    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> Any:
        """What is read has an ETag, and a 304 for who names it: see bandwidth.py."""
        bodies = super()._get_response_bodies(*args, **kwargs)
        if self.method == "GET" and "200" in bodies:
            bodies["200"].setdefault("headers", {})["ETag"] = ETAG
            bodies.setdefault("304", UNCHANGED)
        return bodies

    def _get_examples(self, *args: Any, **kwargs: Any) -> Any:
        """Without the examples of the library, which know nothing of request_id."""
        return SpectacularSchema._get_examples(self, *args, **kwargs)  # type: ignore[no-untyped-call]

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        """What an answer may lack is not required of it, though it is read-only."""
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        fields = serializer.fields.items()
        absent = {name for name, field in fields if getattr(field, "may_be_absent", False)}
        absent |= {*getattr(getattr(serializer, "Meta", None), "on_request", ())}
        if absent:
            schema["required"] = [name for name in schema["required"] if name not in absent]
        return schema
