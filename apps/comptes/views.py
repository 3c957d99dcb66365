from django.conf import settings
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.views import (
    TokenBlacklistView,
    TokenObtainPairView,
    TokenRefreshView,
    TokenVerifyView,
    TokenViewBase,
)

from apps.comptes.export import held_of
from apps.comptes.permissions import OpenRegistration
from apps.comptes.serializers import (
    BlacklistSerializer,
    ErasureSerializer,
    ForgottenSerializer,
    InscriptionSerializer,
    LinkedPasswordSerializer,
    LoginSerializer,
    MoiEditSerializer,
    MoiSerializer,
    PasswordChangeSerializer,
    RefreshSerializer,
    TokensSerializer,
    VerifySerializer,
)
from apps.comptes.services.accounts import edit_profile, register
from apps.comptes.services.erasure import erase_account
from apps.comptes.tasks import mail_link_task
from apps.comptes.throttles import (
    ExportThrottle,
    ForgottenAddressThrottle,
    ForgottenThrottle,
    RegistrationThrottle,
)
from apps.core.logs import request_id
from apps.core.models import User
from apps.core.schema import ERROR
from apps.core.views import me

FORGOTTEN = {
    True: "Si un compte porte cette adresse, il y reçoit un lien pour choisir un mot de passe.",
    False: "La banque n'envoie pas de courriel : demandez un lien à un administrateur.",
}


@extend_schema_view(post=extend_schema(responses={200: TokensSerializer, 401: ERROR, 403: ERROR}))
class LoginView(TokenObtainPairView):
    """Ouvrir une session : un jeton d'accès et un jeton de renouvellement."""

    serializer_class = LoginSerializer


@extend_schema_view(post=extend_schema(responses={200: RefreshSerializer, 401: ERROR}))
class RefreshView(TokenRefreshView):
    """Renouveler le jeton d'accès ; le jeton de renouvellement change aussi."""

    serializer_class = RefreshSerializer


@extend_schema_view(post=extend_schema(responses={200: VerifySerializer, 401: ERROR}))
class VerifyView(TokenVerifyView):
    """Vérifier un jeton : 200 s'il est bon, 401 sinon."""

    serializer_class = VerifySerializer


@extend_schema_view(post=extend_schema(responses={200: BlacklistSerializer, 401: ERROR}))
class BlacklistView(TokenBlacklistView):
    """Fermer toutes les sessions du compte, sur tous ses appareils."""

    serializer_class = BlacklistSerializer


@extend_schema_view(post=extend_schema(responses={200: TokensSerializer, 401: ERROR, 409: ERROR}))
class PasswordView(TokenViewBase):
    """Changer de mot de passe ; toutes les sessions du compte se ferment, une nouvelle s'ouvre."""

    serializer_class = PasswordChangeSerializer


class ForgottenPasswordView(generics.GenericAPIView[User]):
    authentication_classes = []
    permission_classes = [AllowAny]
    serializer_class = ForgottenSerializer
    throttle_classes = [*APIView.throttle_classes, ForgottenAddressThrottle, ForgottenThrottle]

    @extend_schema(responses={202: ForgottenSerializer})
    def post(self, request: Request) -> Response:
        """Demander par courriel un lien pour choisir un autre mot de passe."""
        form = self.get_serializer(data=request.data)
        form.is_valid(raise_exception=True)
        # A worker finds out who holds the address: the answer, and its time, do not tell.
        if settings.COURRIEL:
            site = request.build_absolute_uri("/").rstrip("/")
            mail_link_task.enqueue(form.validated_data["email"], site, request_id.get())
        return Response({"detail": FORGOTTEN[settings.COURRIEL]}, status=202)


@extend_schema_view(post=extend_schema(responses={200: TokensSerializer, 403: ERROR, 409: ERROR}))
class LinkedPasswordView(TokenViewBase):
    """Choisir un mot de passe par le lien reçu, qui sert une fois."""

    serializer_class = LinkedPasswordSerializer


class InscriptionView(generics.GenericAPIView[User]):
    authentication_classes = []
    permission_classes = [OpenRegistration]
    serializer_class = InscriptionSerializer
    throttle_classes = [*APIView.throttle_classes, RegistrationThrottle]

    @extend_schema(responses={201: MoiSerializer, 403: ERROR})
    def post(self, request: Request) -> Response:
        """Ouvrir un compte d'étudiant, là où les inscriptions sont ouvertes."""
        form = self.get_serializer(data=request.data)
        form.is_valid(raise_exception=True)
        return Response(MoiSerializer(register(**form.validated_data)).data, status=201)


class MoiView(generics.GenericAPIView[User]):
    permission_classes = [IsAuthenticated]
    serializer_class = MoiSerializer
    delete_takes_a_body = True

    def get(self, request: Request) -> Response:
        """Mon profil."""
        return Response(MoiSerializer(me(request)).data)

    @extend_schema(request=MoiEditSerializer(partial=True))
    def patch(self, request: Request) -> Response:
        """Changer mon profil."""
        form = MoiEditSerializer(me(request), data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        edit_profile(me(request), **form.validated_data)
        return Response(MoiSerializer(me(request)).data)

    @extend_schema(request=ErasureSerializer, responses={204: None, 409: ERROR})
    def delete(self, request: Request) -> Response:
        """Effacer mon compte et tout ce qui est à moi, pour toujours."""
        form = ErasureSerializer(data=request.data, context=self.get_serializer_context())
        form.is_valid(raise_exception=True)
        erase_account(me(request))
        return Response(status=204)


class ExportView(APIView):
    permission_classes = [IsAuthenticated]
    throttle_classes = [*APIView.throttle_classes, ExportThrottle]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Tout ce que la banque garde de moi, en un seul document."""
        disposition = content_disposition_header(True, "mes-donnees.json")
        # Nor on the disk of a browser that others use.
        headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
        return Response(held_of(me(request)), headers=headers)
