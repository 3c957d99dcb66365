import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.signing import BadSignature
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from drf_spectacular.views import SpectacularAPIView
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core import filters, selectors
from apps.core.bandwidth import PublicReads
from apps.core.exceptions import Duplicate, MissingFile, NotPublished
from apps.core.models import (
    Commentaire,
    Epreuve,
    Evaluation,
    Interaction,
    Statut,
    StatutCommentaire,
    TypeInteraction,
    User,
)
from apps.core.pagination import OnePage
from apps.core.parsers import JSONParser, MultiPartParser
from apps.core.permissions import (
    CataloguePermission,
    CommentairePermission,
    TransitionPermission,
)
from apps.core.querysets import CommentaireQuerySet, EpreuveQuerySet
from apps.core.review import Action
from apps.core.schema import ERROR
from apps.core.sending import send
from apps.core.serializers import (
    CommentaireEditSerializer,
    CommentaireSerializer,
    ContexteSerializer,
    DownloadRequestSerializer,
    DownloadSerializer,
    EpreuveDepositSerializer,
    EpreuveDetailSerializer,
    EpreuveSerializer,
    EpreuveWriteSerializer,
    EvaluationEditSerializer,
    EvaluationSerializer,
    FacetsSerializer,
    HistoriqueSerializer,
    RejectionSerializer,
    SignalementSerializer,
    ViewSerializer,
)
from apps.core.services.commentaires import (
    edit_comment,
    moderate_comment,
    post_comment,
    report_comment,
)
from apps.core.services.epreuves import deposit_epreuve, edit_epreuve, move_epreuve
from apps.core.services.evaluations import change_notes, rate_epreuve, withdraw_evaluation
from apps.core.services.favoris import add_favori, remove_favori
from apps.core.services.files import (
    Link,
    file_facts,
    may_have,
    open_document,
    read_token,
    signed_token,
)
from apps.core.services.interactions import record_interaction
from apps.core.throttles import (
    WriteThrottle,
)


def me(request: Request) -> User:
    """Whoever is signed in: permissions let nobody else come so far."""
    return cast(User, request.user)


def route_of(action: Action) -> dict[str, Any]:
    """The route and the permission of one move of `review.TRANSITIONS`."""
    return {
        "detail": True,
        "methods": ["post"],
        "url_path": action.value,
        "permission_classes": [TransitionPermission],
        "parser_classes": [JSONParser],
        "transition": action,
    }


TRANSITION_SCHEMA = extend_schema(
    request=None, responses={200: EpreuveDetailSerializer, 409: ERROR}
)


def refuse_unpublished(epreuve: Epreuve) -> None:
    """What was said of an épreuve may be taken back once it is archived, not reworded."""
    if epreuve.statut != Statut.PUBLIEE:
        raise NotPublished


@contextmanager
def only_visible_named(user: User) -> Iterator[None]:
    """A double says that the file is there; of which épreuve, only to who may see that one."""
    try:
        yield
    except Duplicate as double:
        known = Epreuve.objects.visible_to(user)
        if double.epreuve and known.filter(pk=double.epreuve).exists():
            raise
        raise Duplicate from None


def in_context(view: Any, query: dict[str, Any]) -> dict[str, Any]:
    """What a serializer of épreuves has to know: who asks, and for which fields."""
    return {**view.get_serializer_context(), "champs": query.get("champs")}


class SchemaView(SpectacularAPIView):
    def _get_version_parameter(self, request: Request) -> None:
        """There is one version; the library puts what is asked for into a header as it stands."""


class FavorisView(generics.GenericAPIView[Epreuve]):
    permission_classes = [IsAuthenticated]
    serializer_class = EpreuveSerializer

    @extend_schema(parameters=[filters.CardPageQuery], responses=EpreuveSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Mes favoris, le dernier ajouté d'abord."""
        query = filters.CardPageQuery.read(request)
        page = self.paginate_queryset(Epreuve.objects.favourites_of(me(request)).with_names())
        return self.get_paginated_response(
            self.get_serializer(page, many=True, context=in_context(self, query)).data
        )


class HistoriqueView(generics.GenericAPIView[Interaction]):
    permission_classes = [IsAuthenticated]
    serializer_class = HistoriqueSerializer

    @extend_schema(parameters=[filters.CardPageQuery], responses=HistoriqueSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Ce que j'ai fait, le plus récent d'abord."""
        query = filters.CardPageQuery.read(request)
        page = self.paginate_queryset(selectors.history_of(me(request)))
        return self.get_paginated_response(
            self.get_serializer(page, many=True, context=in_context(self, query)).data
        )


class AnyAccept(DefaultContentNegotiation):
    """The answer is the file, whatever the client says it accepts; errors are JSON."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


@extend_schema_view(
    create=extend_schema(
        request={"multipart/form-data": EpreuveDepositSerializer},
        responses={201: EpreuveDetailSerializer, 409: ERROR, 413: ERROR},
    ),
    partial_update=extend_schema(
        request={
            "application/json": EpreuveWriteSerializer(partial=True),
            "multipart/form-data": EpreuveWriteSerializer(partial=True),
        },
        responses={200: EpreuveDetailSerializer, 409: ERROR, 413: ERROR},
    ),
)
class EpreuveViewSet(PublicReads, viewsets.GenericViewSet[Epreuve]):
    lookup_value_converter = "int"
    queryset = Epreuve.objects.none()
    permission_classes = [CataloguePermission]
    parser_classes = [MultiPartParser, JSONParser]
    serializer_class = EpreuveDetailSerializer
    transition = Action.ARCHIVER  # What DELETE does; the route of another move names it.

    def get_queryset(self) -> EpreuveQuerySet:
        return Epreuve.objects.visible_to(self.request.user).with_names()

    def cards_of(self, epreuves: Any, query: dict[str, Any]) -> Any:
        return EpreuveSerializer(epreuves, many=True, context=in_context(self, query)).data

    def detail_of(self, epreuve: Epreuve) -> dict[str, Any]:
        fresh = Epreuve.objects.with_names().get(pk=epreuve.pk)
        return dict(self.get_serializer(fresh).data)

    @extend_schema(parameters=[filters.EpreuveListQuery], responses=EpreuveSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Chercher et parcourir les épreuves."""
        query = filters.EpreuveListQuery.read(request)
        visible = Epreuve.objects.visible_to(request.user)
        epreuves = filters.narrowed(visible, query, request).sorted_by(query["ordering"])
        # What cards show is joined to the rows of the page, not to all that are sorted.
        ids = epreuves.values_list("pk", flat=True)
        # To rank them PostgreSQL finds them all: to count them apart would be to find them twice.
        page = self.paginate_queryset(list(ids) if query["ordering"] == "pertinence" else ids)
        rows = Epreuve.objects.with_names().in_bulk(page)
        found = [rows[pk] for pk in page or () if pk in rows]
        return self.get_paginated_response(self.cards_of(found, query))

    @extend_schema(parameters=[filters.EpreuveQuery])
    def retrieve(self, request: Request, pk: int) -> Response:
        """Une épreuve en détail."""
        context = in_context(self, filters.EpreuveQuery.read(request))
        return Response(self.get_serializer(self.get_object(), context=context).data)

    def create(self, request: Request) -> Response:
        """Déposer une épreuve, en PDF ou en photographies : soumise, ou en brouillon."""
        form = EpreuveDepositSerializer(data=request.data, context={"request": request})
        form.is_valid(raise_exception=True)
        with only_visible_named(me(request)):
            epreuve = deposit_epreuve(auteur=me(request), **form.validated_data)
        return Response(self.detail_of(epreuve), status=201)

    def partial_update(self, request: Request, pk: int) -> Response:
        """Corriger une épreuve ou remplacer ses fichiers."""
        epreuve = self.get_object()
        form = EpreuveWriteSerializer(epreuve, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        with only_visible_named(me(request)):
            edited = edit_epreuve(epreuve, par=me(request), **form.validated_data)
        return Response(self.detail_of(edited))

    def destroy(self, request: Request, pk: int) -> Response:
        """Archiver une épreuve : elle quitte le catalogue, son histoire reste."""
        move_epreuve(self.get_object(), self.transition, par=me(request))
        return Response(status=204)

    # --- Review ---

    @TRANSITION_SCHEMA
    @action(**route_of(Action.SOUMETTRE))
    def submit(self, request: Request, pk: int) -> Response:
        """Soumettre mon brouillon, ou de nouveau ce qui a été rejeté."""
        return self.moved()

    @TRANSITION_SCHEMA
    @action(**route_of(Action.PUBLIER))
    def publish(self, request: Request, pk: int) -> Response:
        """Publier une épreuve soumise, ou rejetée par erreur."""
        return self.moved()

    @extend_schema(
        request=RejectionSerializer, responses={200: EpreuveDetailSerializer, 409: ERROR}
    )
    @action(**route_of(Action.REJETER))
    def reject(self, request: Request, pk: int) -> Response:
        """Rejeter une épreuve soumise, avec un motif que lit son auteur."""
        form = RejectionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        return self.moved(**form.validated_data)

    @TRANSITION_SCHEMA
    @action(**route_of(Action.RESTAURER))
    def restore(self, request: Request, pk: int) -> Response:
        """Remettre une épreuve archivée dans la file de modération."""
        return self.moved()

    def moved(self, motif: str = "") -> Response:
        epreuve = self.get_object()
        return Response(
            self.detail_of(
                move_epreuve(epreuve, self.transition, par=me(self.request), motif=motif)
            )
        )

    @extend_schema(parameters=[filters.EpreuveTopQuery], responses=EpreuveSerializer(many=True))
    @action(detail=False, url_path="populaires", pagination_class=OnePage)
    def popular(self, request: Request) -> Response:
        """Les épreuves les plus utilisées : depuis 90 jours d'abord, puis depuis toujours."""
        query = filters.EpreuveTopQuery.read(request)
        epreuves = filters.narrowed(Epreuve.objects.published(), query, request)
        top = selectors.top_popular(epreuves, query["limite"])
        return self.get_paginated_response(self.cards_of(top, query))

    @extend_schema(parameters=[filters.EpreuveTopQuery], responses=EpreuveSerializer(many=True))
    @action(detail=False, url_path="recentes", pagination_class=OnePage)
    def recent(self, request: Request) -> Response:
        """Les dernières épreuves publiées."""
        query = filters.EpreuveTopQuery.read(request)
        epreuves = filters.narrowed(Epreuve.objects.recent().with_names(), query, request)
        top = epreuves[: query["limite"]]
        return self.get_paginated_response(self.cards_of(top, query))

    @extend_schema(parameters=[filters.EpreuveFilters], responses=FacetsSerializer)
    @action(detail=False, url_path="facettes", pagination_class=None)
    def facets(self, request: Request) -> Response:
        """Combien d'épreuves par valeur de filtre, parmi celles que gardent les filtres donnés."""
        query = filters.EpreuveFilters.read(request)
        visible = Epreuve.objects.visible_to(request.user)
        counted = selectors.facets(filters.narrowed(visible, query, request), request.user)
        return Response(FacetsSerializer(counted).data)

    @extend_schema(request=ContexteSerializer, responses={200: ViewSerializer, 201: ViewSerializer})
    @action(
        detail=True,
        methods=["post"],
        url_path="view",
        permission_classes=[IsAuthenticated],
        parser_classes=[JSONParser],
    )
    def record_view(self, request: Request, pk: int) -> Response:
        """Marquer une épreuve comme vue ; une seule vue compte par demi-heure."""
        form = ContexteSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        epreuve = generics.get_object_or_404(Epreuve.objects.published(), pk=pk)
        new = record_interaction(
            user=me(request),
            epreuve=epreuve,
            type_interaction=TypeInteraction.VUE,
            **form.validated_data,
        )
        epreuve.refresh_from_db(fields=["nb_vues"])
        return Response(
            {"enregistree": new, "nb_vues": epreuve.nb_vues}, status=201 if new else 200
        )

    @extend_schema(methods=["PUT"], request=None, responses={204: None})
    @action(detail=True, methods=["put"], url_path="favori", permission_classes=[IsAuthenticated])
    def keep(self, request: Request, pk: int) -> Response:
        """Mettre une épreuve dans mes favoris ; elle peut y être déjà."""
        epreuve = generics.get_object_or_404(Epreuve.objects.published(), pk=pk)
        add_favori(user=me(request), epreuve=epreuve)
        return Response(status=204)

    @extend_schema(responses={204: None})
    @keep.mapping.delete
    def leave(self, request: Request, pk: int) -> Response:
        """Retirer une épreuve de mes favoris ; elle peut n'y être plus."""
        epreuve = generics.get_object_or_404(Epreuve.objects.visible_to(request.user), pk=pk)
        remove_favori(user=me(request), epreuve=epreuve)
        return Response(status=204)

    @extend_schema(request=DownloadRequestSerializer, responses={200: DownloadSerializer})
    @action(
        detail=True,
        methods=["post"],
        permission_classes=[IsAuthenticated],
        parser_classes=[JSONParser],
    )
    def download(self, request: Request, pk: int) -> Response:
        """Obtenir un lien de téléchargement de courte durée."""
        form = DownloadRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        epreuve, document = self.get_object(), form.validated_data["document"]
        if not may_have(me(request), epreuve, document):
            raise MissingFile
        # Its author and the moderators read what is not published yet: that is no use of it.
        if epreuve.statut == Statut.PUBLIEE:
            record_interaction(
                user=me(request),
                epreuve=epreuve,
                type_interaction=TypeInteraction.TELECHARGEMENT,
                contexte=form.validated_data["contexte"],
                requete_id=form.validated_data.get("requete_id"),
            )
            epreuve.refresh_from_db(fields=["nb_telechargements"])
        return Response(DownloadSerializer(self.link_to(epreuve, document)).data)

    @extend_schema(
        responses={(200, "image/webp"): OpenApiTypes.BINARY, 304: None, 404: ERROR},
    )
    @action(
        detail=True,
        url_path="vignette/<str:version>",
        url_name="vignette",
        content_negotiation_class=AnyAccept,
    )
    def thumbnail(self, request: Request, pk: int, version: str) -> HttpResponseBase:
        """La première page, en petit ; l'adresse change avec l'image."""
        epreuve = self.get_object()
        if version != epreuve.vignette_version:
            raise MissingFile
        try:
            content = epreuve.vignette.open()
        except FileNotFoundError:
            raise MissingFile from None
        headers = {
            "Content-Type": "image/webp",
            # Not public: a copy on the way would outlive the withdrawal of the épreuve.
            "Cache-Control": "private, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        return send(request, content, etag=version, headers=headers)

    def link_to(self, epreuve: Epreuve, document: str) -> dict[str, Any]:
        token = signed_token(Link(epreuve.pk, document, me(self.request).pk))
        lasts = dt.timedelta(seconds=settings.LIEN_DUREE_SECONDES)
        return {
            "url": self.request.build_absolute_uri(reverse("fichier", args=[token])),
            "expire_le": timezone.now() + lasts,
            "nb_telechargements": epreuve.nb_telechargements,
            **file_facts(epreuve, document),
        }


RANGE = OpenApiParameter(
    "Range",
    location=OpenApiParameter.HEADER,
    description="Un seul intervalle, pour reprendre : `bytes=1000-`.",
)


class FichierView(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[RANGE],
        responses={
            (200, "application/pdf"): OpenApiTypes.BINARY,
            (206, "application/pdf"): OpenApiTypes.BINARY,
            304: None,
            403: ERROR,
            416: ERROR,
        },
    )
    def get(self, request: Request, jeton: str) -> HttpResponseBase:
        """Le PDF, par le lien signé que donne un téléchargement."""
        link = self.link_of(jeton)
        holder = User.objects.filter(pk=link.user_id, is_active=True).first() or AnonymousUser()
        epreuve = generics.get_object_or_404(Epreuve.objects.visible_to(holder), pk=link.epreuve_id)
        if not may_have(holder, epreuve, link.document):
            raise MissingFile
        return self.answer(epreuve, link.document)

    def link_of(self, jeton: str) -> Link:
        try:
            return read_token(jeton)
        except BadSignature:
            detail = "Ce lien est invalide ou périmé : demandez-en un autre."
            raise PermissionDenied(detail, code="lien_invalide") from None

    def answer(self, epreuve: Epreuve, document: str) -> HttpResponseBase:
        try:
            content = open_document(epreuve, document)
        except FileNotFoundError:
            raise MissingFile from None
        facts = file_facts(epreuve, document)
        headers = {
            "Content-Type": "application/pdf",
            "Content-Disposition": content_disposition_header(True, facts["nom_fichier"]),
            "Cache-Control": "private, max-age=0",
            "X-Content-Type-Options": "nosniff",
        }
        return send(self.request, content, etag=facts["sha256"], headers=headers)


class EvaluationViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet[Evaluation]):
    lookup_value_converter = "int"
    queryset = Evaluation.objects.none()
    serializer_class = EvaluationSerializer
    throttle_classes = [*APIView.throttle_classes, WriteThrottle]

    def get_queryset(self) -> QuerySet[Evaluation]:
        return Evaluation.objects.filter(user=me(self.request)).select_related("epreuve")

    @extend_schema(parameters=[filters.PageQuery], responses=EvaluationSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Mes évaluations."""
        filters.PageQuery.read(request)
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Une de mes évaluations."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(responses={200: EvaluationSerializer, 201: EvaluationSerializer})
    def create(self, request: Request) -> Response:
        """Évaluer une épreuve ; évaluer de nouveau remplace."""
        form = self.get_serializer(data=request.data)
        form.is_valid(raise_exception=True)
        evaluation, new = rate_epreuve(user=me(request), **form.validated_data)
        return Response(self.get_serializer(evaluation).data, status=201 if new else 200)

    @extend_schema(request=EvaluationEditSerializer(partial=True))
    def partial_update(self, request: Request, pk: int) -> Response:
        """Changer mes notes."""
        mine = self.get_object()
        refuse_unpublished(mine.epreuve)
        form = EvaluationEditSerializer(mine, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        return Response(self.get_serializer(change_notes(mine, **form.validated_data)).data)

    def destroy(self, request: Request, pk: int) -> Response:
        """Retirer mon évaluation."""
        withdraw_evaluation(self.get_object())
        return Response(status=204)


class CommentaireViewSet(viewsets.GenericViewSet[Commentaire]):
    lookup_value_converter = "int"
    queryset = Commentaire.objects.none()
    serializer_class = CommentaireSerializer
    permission_classes = [IsAuthenticated, CommentairePermission]
    throttle_classes = [*APIView.throttle_classes, WriteThrottle]

    def get_queryset(self) -> CommentaireQuerySet:
        return Commentaire.objects.visible_to(self.request.user).with_replies()

    @extend_schema(
        parameters=[filters.CommentaireQuery], responses=CommentaireSerializer(many=True)
    )
    def list(self, request: Request) -> Response:
        """Les commentaires d'une épreuve, ou les miens."""
        epreuve = filters.CommentaireQuery.read(request).get("epreuve")
        if epreuve is None:
            commentaires = self.get_queryset().filter(auteur=me(request))
        else:
            generics.get_object_or_404(Epreuve.objects.visible_to(request.user), pk=epreuve)
            commentaires = self.get_queryset().filter(epreuve=epreuve)
        page = self.paginate_queryset(commentaires)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(responses={201: CommentaireSerializer})
    def create(self, request: Request) -> Response:
        """Commenter une épreuve, ou répondre à un commentaire."""
        form = self.get_serializer(data=request.data)
        form.is_valid(raise_exception=True)
        commentaire = post_comment(auteur=me(request), **form.validated_data)
        return Response(self.shown(commentaire), status=201)

    @extend_schema(request=CommentaireEditSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Corriger mon commentaire."""
        mine = self.get_object()
        refuse_unpublished(mine.epreuve)
        form = CommentaireEditSerializer(mine, data=request.data)
        form.is_valid(raise_exception=True)
        edit_comment(mine, **form.validated_data)
        return Response(self.shown(mine))

    def destroy(self, request: Request, pk: int) -> Response:
        """Supprimer un commentaire ; ses réponses restent."""
        moderate_comment(self.get_object(), StatutCommentaire.SUPPRIME, par=me(request))
        return Response(status=204)

    @extend_schema(request=SignalementSerializer, responses={204: None, 409: ERROR})
    @action(
        detail=True, methods=["post"], url_path="signaler", permission_classes=[IsAuthenticated]
    )
    def report(self, request: Request, pk: int) -> Response:
        """Signaler un commentaire aux modérateurs ; plusieurs signalements le masquent."""
        form = SignalementSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        commentaire = generics.get_object_or_404(
            Commentaire.objects.visible().select_related("epreuve"), pk=pk
        )
        refuse_unpublished(commentaire.epreuve)
        report_comment(commentaire, par=me(request), **form.validated_data)
        return Response(status=204)

    def shown(self, commentaire: Commentaire) -> dict[str, Any]:
        fresh = generics.get_object_or_404(self.get_queryset(), pk=commentaire.pk)
        return dict(self.get_serializer(fresh).data)
