"""Query strings, read as strictly as bodies."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from apps.core.fields import ChampsField, Choice, CodeField, IdField
from apps.core.models import Filiere, Matiere, Niveau, Role, Session, TypeEpreuve, User
from apps.core.pagination import Pagination
from apps.core.querysets import EpreuveQuerySet
from apps.core.serializers import EpreuveDetailSerializer, EpreuveSerializer


class QueryString(serializers.Serializer[Any]):
    """Typed query parameters: an unknown or repeated name is refused, like a bad value."""

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        repeated = [name for name, values in request.query_params.lists() if len(values) > 1]
        return cls._valid(request, request.query_params.dict(), repeated)

    @classmethod
    def read_body(cls, request: Request) -> dict[str, Any]:
        """The same parameters, as the members of a JSON object."""
        return cls._valid(request, request.data, repeated=[])

    @classmethod
    def _valid(cls, request: Request, data: Any, repeated: list[str]) -> dict[str, Any]:
        query = cls(data=data, context={"request": request, "repeated": repeated})
        query.is_valid(raise_exception=True)
        return query.validated_data  # type: ignore[no-any-return]

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return super().to_internal_value(data)
        errors = dict.fromkeys(self.context["repeated"], "Ce paramètre est répété.")
        known = ", ".join(self.fields) or "aucun"
        allowed = f"Paramètre inconnu. Paramètres admis : {known}."
        errors |= {name: allowed for name in data if name not in self.fields}
        if errors:
            raise serializers.ValidationError(errors, code="parametre")
        return super().to_internal_value(data)


class PageQuery(QueryString):
    page = serializers.IntegerField(
        min_value=1, max_value=1_000_000, required=False, help_text="Rang de la page."
    )
    page_size = serializers.IntegerField(
        min_value=1,
        max_value=Pagination.max_page_size,
        required=False,
        help_text="Résultats par page.",
    )


class EpreuveFilters(QueryString):
    """What any list of épreuves may be narrowed by; `narrowed` applies it."""

    search = serializers.CharField(
        max_length=100,
        required=False,
        allow_blank=True,
        help_text="Mots, tous à trouver, du titre, de la description, de la matière, de "
        "l'enseignant ou du PDF ; accents, casse et une lettre fausse par mot indifférents.",
    )
    matiere = CodeField(queryset=Matiere.objects.all(), required=False, help_text="Code.")
    filiere = CodeField(queryset=Filiere.objects.all(), required=False, help_text="Code.")
    niveau = Choice(Niveau.choices, required=False)
    type_epreuve = Choice(TypeEpreuve.choices, required=False)
    session = Choice(Session.choices, required=False)
    annee = serializers.IntegerField(min_value=1900, max_value=2100, required=False)
    annee_min = serializers.IntegerField(min_value=1900, max_value=2100, required=False)
    annee_max = serializers.IntegerField(min_value=1900, max_value=2100, required=False)
    enseignant = IdField(
        queryset=User.objects.exclude(role=Role.ETUDIANT),
        required=False,
        help_text="Identifiant de l'enseignant.",
    )
    corrige = serializers.BooleanField(required=False, help_text="Avec ou sans corrigé.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("annee_min", 0) > attrs.get("annee_max", 9999):
            raise serializers.ValidationError(
                {"annee_min": "annee_min dépasse annee_max."}, code="intervalle"
            )
        return attrs


_LOOKUPS = {"annee_min": "annee__gte", "annee_max": "annee__lte"}


def narrowed(
    queryset: EpreuveQuerySet, values: dict[str, Any], request: Request
) -> EpreuveQuerySet:
    """Apply the values of EpreuveFilters, and `exclude_seen` where the query has it."""
    seen_by = request.user if values.get("exclude_seen") else None
    conditions = {
        _LOOKUPS.get(name, name): values[name]
        for name in EpreuveFilters._declared_fields
        if name in values
    }
    corrige = conditions.pop("corrige", None)
    found = queryset.filtered(not_seen_by=seen_by, **conditions)
    return found if corrige is None else found.with_corrige_for(request.user, corrige)


class CardsQuery(QueryString):
    champs = ChampsField(EpreuveSerializer.Meta.fields)


class EpreuveQuery(QueryString):
    champs = ChampsField(EpreuveDetailSerializer.Meta.fields)


class CardPageQuery(PageQuery, CardsQuery):
    pass


class EpreuveListQuery(EpreuveFilters, CardPageQuery):
    ORDERINGS = (
        "date_publication",
        "annee",
        "titre",
        "nb_vues",
        "nb_telechargements",
        "note_difficulte",
        "note_pertinence",
    )

    ordering = Choice(
        ["pertinence", *(sign + name for name in ORDERINGS for sign in ("", "-"))],
        required=False,
        help_text="Un « - » devant le nom inverse l'ordre. Défaut : « pertinence » avec "
        "« search », « -date_publication » sans.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        default = "pertinence" if attrs.get("search") else "-date_publication"
        return {"ordering": default} | attrs


class EpreuveTopQuery(EpreuveFilters, CardsQuery):
    limite = serializers.IntegerField(min_value=1, max_value=50, default=10)
    exclude_seen = serializers.BooleanField(
        default=False, help_text="Sans celles que vous avez déjà vues."
    )


class CommentaireQuery(PageQuery):
    epreuve = serializers.IntegerField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="Les commentaires de cette épreuve ; sans elle, les vôtres.",
    )
