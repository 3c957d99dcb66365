from rest_framework.exceptions import PermissionDenied, ValidationError


class PasswordToChange(PermissionDenied):
    default_code = "mot_de_passe_a_changer"
    default_detail = (
        "Ce mot de passe ne sert qu'à en choisir un autre : POST /api/mot-de-passe/ avec username, "
        "mot_de_passe et nouveau_mot_de_passe."
    )


class UsernameTaken(ValidationError):
    def __init__(self) -> None:
        super().__init__({"username": "Ce nom d'utilisateur est déjà pris."}, code="unique")
