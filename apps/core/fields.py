"""Fields whose refusals name what is allowed, and that no input can break."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NoReturn

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import SkipField

from apps.core.exceptions import NotPublished
from apps.core.services.files import PHOTOGRAPHS_MAX, Pdf, read_document


class Choice(serializers.ChoiceField):
    default_error_messages = {"invalid_choice": "Valeur inconnue. Valeurs admises : {allowed}."}

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        super().fail(key, allowed=", ".join(map(str, self.choices)), **kwargs)


class NumberField(serializers.FloatField):
    """The library reads the JSON `true` as 1.0."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class NoteField(serializers.FloatField):
    """A mean of notes from 1 to 5, with the two decimals that mean something."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, allow_null=True, min_value=1, max_value=5, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        # The library would show as null what a query forgot to read `with_names`.
        return getattr(instance, str(self.source))

    def to_representation(self, value: float) -> float:  # type: ignore[override]
        return round(value, 2)


class CodeField(serializers.SlugRelatedField[Any]):
    default_error_messages = {
        "does_not_exist": "Code inconnu. Codes admis : {allowed}.",
        "invalid": "Donnez un code, en texte.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="code", **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        if "\0" in data:  # PostgreSQL refuses the very query, where SQLite finds nothing.
            self.fail("does_not_exist")
        return super().to_internal_value(data)

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        if key == "does_not_exist":
            rows: QuerySet[Any] = self.get_queryset()  # type: ignore[assignment]
            kwargs["allowed"] = ", ".join(sorted(row.code for row in rows))
        super().fail(key, **kwargs)


class ChampsField(serializers.CharField):
    """Names of fields, separated by commas: the answer has these and no other."""

    default_error_messages = {"unknown": "Champ inconnu. Champs admis : {allowed}."}

    def __init__(self, allowed: Sequence[str], **kwargs: Any) -> None:
        self.allowed = allowed
        names = f"Les seuls champs voulus, séparés par des virgules, parmi : {', '.join(allowed)}."
        super().__init__(required=False, help_text=names, **kwargs)

    def to_internal_value(self, data: Any) -> frozenset[str]:  # type: ignore[override]
        names = frozenset(super().to_internal_value(data).split(","))
        if not names <= {*self.allowed}:
            self.fail("unknown", allowed=", ".join(self.allowed))
        return names


class IdField(serializers.PrimaryKeyRelatedField[Any]):
    default_error_messages = {
        "does_not_exist": "Rien ne porte cet identifiant.",
        "incorrect_type": "Donnez un identifiant : un entier.",
    }

    def to_internal_value(self, data: Any) -> Any:
        """Only integers: 1e400 or a list would break the query."""
        number = str(data) if isinstance(data, int | str) and not isinstance(data, bool) else ""
        if not (number.isdecimal() and len(number) < 19):
            self.fail("incorrect_type", data_type=type(data).__name__)
        return super().to_internal_value(int(number))


class PublishedField(IdField):
    """An épreuve that people may act upon; another one does not exist, and is a 404."""

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        if key == "does_not_exist":
            raise NotPublished
        super().fail(key, **kwargs)


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "maxItems": PHOTOGRAPHS_MAX,
    }
)
class DocumentField(serializers.FileField):
    """A file that was opened and found to be a PDF; or photographs, several of the same name."""

    def get_value(self, dictionary: Any) -> Any:
        sent = dictionary.getlist(self.field_name) if hasattr(dictionary, "getlist") else []
        return sent if len(sent) > 1 else super().get_value(dictionary)

    def to_internal_value(self, data: Any) -> Pdf:  # type: ignore[override]
        sent = data if isinstance(data, list) and data else [data]
        return read_document([super(DocumentField, self).to_internal_value(one) for one in sent])


class MomentField(serializers.DateTimeField):
    default_error_messages = {"overflow": "Cette date n'existe pas ici."}

    def enforce_timezone(self, value: dt.datetime) -> dt.datetime:
        """The library lets the first day of the calendar overflow in a zone east of Greenwich."""
        try:
            return super().enforce_timezone(value)
        except OverflowError:
            self.fail("overflow")


class MineField(serializers.SerializerMethodField):
    """Of whoever is signed in; absent for anybody else."""

    may_be_absent = True

    def get_attribute(self, instance: Any) -> Any:
        if not self.context["request"].user.is_authenticated:
            raise SkipField
        return super().get_attribute(instance)
