import datetime as dt
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.signing import BadSignature
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.filters import narrowed
from apps.core.models import Epreuve
from apps.core.schema import ERROR
from apps.core.sending import send
from apps.core.throttles import WriteThrottle
from apps.core.views import RANGE, AnyAccept, me
from apps.paquets.models import Paquet
from apps.paquets.serializers import ApercuSerializer, PaquetQuery, PaquetSerializer
from apps.paquets.services import paquets
from apps.paquets.services.paquets import Composition


class PaquetThrottle(WriteThrottle):
    """Each reads all that it holds from the disk."""

    scope = "paquet"


@extend_schema(tags=["paquets"])
class PaquetsView(APIView):
    permission_classes = [IsAuthenticated]
    throttle_classes = [*APIView.throttle_classes, PaquetThrottle]

    @extend_schema(parameters=[PaquetQuery], responses=ApercuSerializer)
    def get(self, request: Request) -> Response:
        """Ce que contiendrait un paquet, et sa taille exacte, avant de le demander."""
        chosen = self.composed(request, PaquetQuery.read(request))
        return Response(ApercuSerializer(chosen).data)

    @extend_schema(
        request=PaquetQuery,
        responses={200: PaquetSerializer, 201: PaquetSerializer, 409: ERROR, 410: ERROR},
    )
    def post(self, request: Request) -> Response:
        """Demander un paquet ; la même demande rejouée donne le même."""
        chosen = self.composed(request, PaquetQuery.read_body(request))
        paquet, new = paquets.prepare(me(request), chosen)
        return Response(PaquetSerializer(self.shown(paquet)).data, status=201 if new else 200)

    def composed(self, request: Request, query: dict[str, Any]) -> Composition:
        options = {name: query.pop(name) for name in ("budget_octets", "corriges", "deja")}
        epreuves = narrowed(Epreuve.objects.published(), query, request)
        return paquets.compose(me(request), epreuves, **options)

    def shown(self, paquet: Paquet) -> dict[str, Any]:
        token = paquets.signed_token(paquet)
        return {
            "url": self.request.build_absolute_uri(reverse("paquet-fichier", args=[token])),
            "expire_le": timezone.now() + dt.timedelta(seconds=settings.PAQUET_DUREE_SECONDES),
            "nom_fichier": file_name(paquet),
            "taille_octets": paquet.taille_octets,
            "sha256": paquet.sha256,
        }


def file_name(paquet: Paquet) -> str:
    """The same of the same bytes, and of no others: a download goes on in the right file."""
    return f"paquet-{paquet.sha256[:12]}.zip"


@extend_schema(tags=["paquets"])
class PaquetFichierView(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[RANGE],
        responses={
            (200, "application/zip"): OpenApiTypes.BINARY,
            (206, "application/zip"): OpenApiTypes.BINARY,
            304: None,
            403: ERROR,
            410: ERROR,
            416: ERROR,
        },
    )
    def get(self, request: Request, jeton: str) -> HttpResponseBase:
        """L'archive, par le lien signé ; n'importe quel intervalle, octet pour octet."""
        try:
            paquet = paquets.paquet_of(jeton)
        except (BadSignature, Paquet.DoesNotExist):
            detail = "Ce lien est invalide ou périmé : demandez de nouveau ce paquet."
            raise PermissionDenied(detail, code="lien_invalide") from None
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": content_disposition_header(True, file_name(paquet)),
            "Cache-Control": "private, max-age=0",
            "X-Content-Type-Options": "nosniff",
        }
        archive: Any = paquets.open_archive(paquet)
        return send(request, File(archive), etag=paquet.sha256, headers=headers)
