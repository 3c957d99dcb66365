from typing import Any

from django.conf import settings
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request

from apps.core.models import Commentaire, Epreuve
from apps.core.review import TRANSITIONS, Action, Who


class CataloguePermission(BasePermission):
    """Reads need a token only where the catalogue is not public; deposits need a teacher."""

    message = "Seuls les enseignants et les administrateurs déposent ou modifient des épreuves."

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS and settings.CATALOGUE_PUBLIC:
            return True
        if not request.user.is_authenticated:
            return False
        return view.action != "create" or request.user.peut_deposer

    def has_object_permission(self, request: Request, view: Any, obj: Epreuve) -> bool:
        self.message = "Seuls son auteur et les administrateurs modifient cette épreuve."
        if request.method == "DELETE":
            return TRANSITIONS[Action.ARCHIVER].is_open_to(request.user, obj)
        is_author = obj.depose_par_id == request.user.pk
        return request.method in SAFE_METHODS or request.user.is_staff or is_author


class TransitionPermission(IsAuthenticated):
    """Whether its move is possible is for the service to say; here, whether it is theirs."""

    def has_object_permission(self, request: Request, view: Any, obj: Epreuve) -> bool:
        transition = TRANSITIONS[view.transition]
        names = {Who.AUTEUR: "son auteur", Who.ADMINISTRATEUR: "un administrateur"}
        allowed = " ou ".join(names[who] for who in Who if who in transition.who)
        self.message = f"Cette action est réservée : {allowed}."
        return transition.is_open_to(request.user, obj)


class CommentairePermission(BasePermission):
    """The author edits and deletes; a moderator only deletes."""

    message = "Seul son auteur modifie ce commentaire."

    def has_object_permission(self, request: Request, view: Any, obj: Commentaire) -> bool:
        if obj.auteur_id == request.user.pk:
            return True
        return request.method == "DELETE" and request.user.is_staff
