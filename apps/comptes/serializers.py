from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import ASCIIUsernameValidator
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.fields import get_error_detail
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.serializers import (
    TokenBlacklistSerializer,
    TokenRefreshSerializer,
    TokenVerifySerializer,
)

from apps.comptes import login
from apps.comptes.exceptions import PasswordToChange
from apps.comptes.passwords import LENGTH_MAX
from apps.comptes.services.accounts import change_password, close_sessions, open_session
from apps.comptes.services.password_links import link_holder
from apps.comptes.tokens import RefreshToken, UntypedToken, new_tokens
from apps.core.fields import Choice, CodeField
from apps.core.models import Filiere, Niveau, User, validate_visible


class PasswordField(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(write_only=True, max_length=LENGTH_MAX, trim_whitespace=False, **kwargs)


class LoginSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(write_only=True, max_length=150)
    password = PasswordField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        user = login.identify(self.context["request"], **attrs)
        if user.mot_de_passe_temporaire:
            raise PasswordToChange
        return open_session(user)


class NewPasswordSerializer(serializers.Serializer[Any]):
    nouveau_mot_de_passe = PasswordField()

    def take(self, user: User, password: str) -> dict[str, str]:
        """Make it that person's password; return the tokens of the one session that is left."""
        try:
            validate_password(password, user)
        except DjangoValidationError as error:
            refused = get_error_detail(error)
            raise serializers.ValidationError({"nouveau_mot_de_passe": refused}) from None
        change_password(user, password)
        return open_session(user)


class PasswordChangeSerializer(NewPasswordSerializer):
    username = serializers.CharField(write_only=True, max_length=150)
    mot_de_passe = PasswordField(help_text="Le présent.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        request = self.context["request"]
        user = login.identify(request, attrs["username"], attrs["mot_de_passe"])
        return self.take(user, attrs["nouveau_mot_de_passe"])


class LinkedPasswordSerializer(NewPasswordSerializer):
    uid = serializers.CharField(write_only=True, max_length=64, help_text="Le début du lien.")
    jeton = serializers.CharField(write_only=True, max_length=64, help_text="La fin du lien.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        user = link_holder(attrs["uid"], attrs["jeton"])
        if user is None:
            detail = "Ce lien a déjà servi, ou il est périmé : demandez-en un autre."
            raise PermissionDenied(detail, code="lien_invalide")
        return self.take(user, attrs["nouveau_mot_de_passe"])


class ErasureSerializer(serializers.Serializer[Any]):
    password = PasswordField(help_text="Le présent : un jeton volé n'efface pas un compte.")

    def validate_password(self, password: str) -> str:
        """Counted with the failures of the login; not its 401, which says: renew the token."""
        request = self.context["request"]
        try:
            login.identify(request, request.user.username, password)
        except AuthenticationFailed:
            detail = "Ce n'est pas votre mot de passe."
            raise serializers.ValidationError(detail, code="mot_de_passe_incorrect") from None
        return password


class ForgottenSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField(write_only=True, max_length=254)
    detail = serializers.CharField(read_only=True)


class TokensSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="À envoyer : `Authorization: Bearer <access>`.")
    refresh = serializers.CharField(help_text="Sert une fois, à renouveler les deux.")


class VerifySerializer(TokenVerifySerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A revoked token is as bad as a forged one: 401, where the library answers 400."""
        UntypedToken(attrs["token"]).holder()
        try:
            return super().validate(attrs)
        except serializers.ValidationError:
            raise InvalidToken("Ce jeton a été révoqué.") from None


class BlacklistSerializer(TokenBlacklistSerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        close_sessions(RefreshToken(attrs["refresh"]).holder())
        return {}


class RefreshSerializer(TokenRefreshSerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        refresh = RefreshToken(attrs["refresh"])
        holder = refresh.holder()
        with transaction.atomic():
            refresh.use_up()
            return new_tokens(holder)


class NomenclatureSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    nom = serializers.CharField()


class MoiSerializer(serializers.ModelSerializer[User]):
    email = serializers.CharField(read_only=True, help_text="Vide : aucune n'est connue.")
    niveau = serializers.ChoiceField(Niveau.choices, allow_blank=True, read_only=True)
    prenom = serializers.CharField(source="first_name")
    nom = serializers.CharField(source="last_name")
    filiere = NomenclatureSerializer(allow_null=True)
    date_inscription = serializers.DateTimeField(source="date_joined")

    class Meta:
        model = User
        fields = (
            "id",
            "username",
            "email",
            "prenom",
            "nom",
            "role",
            "matricule",
            "filiere",
            "niveau",
            "personnalisation",
            "date_inscription",
        )
        read_only_fields = fields


class MoiEditSerializer(serializers.ModelSerializer[User]):
    """Not the address: whoever holds it can choose the password."""

    serializer_choice_field = Choice

    prenom = serializers.CharField(
        source="first_name", max_length=150, allow_blank=True, validators=[validate_visible]
    )
    nom = serializers.CharField(
        source="last_name", max_length=150, allow_blank=True, validators=[validate_visible]
    )
    filiere = CodeField(queryset=Filiere.objects.all(), allow_null=True)

    class Meta:
        model = User
        fields = ("prenom", "nom", "filiere", "niveau", "personnalisation")


class InscriptionSerializer(serializers.ModelSerializer[User]):
    """Without an address, which nothing has shown to be theirs, and which another may have."""

    serializer_choice_field = Choice

    username = serializers.CharField(max_length=150, validators=[ASCIIUsernameValidator()])
    password = PasswordField()
    filiere = CodeField(queryset=Filiere.objects.all(), allow_null=True, required=False)

    class Meta:
        model = User
        fields = ("username", "password", "filiere", "niveau")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            validate_password(attrs["password"], User(username=attrs["username"]))
        except DjangoValidationError as error:
            raise serializers.ValidationError({"password": get_error_detail(error)}) from None
        return attrs
