from typing import Any

from django.conf import settings
from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class OpenRegistration(BasePermission):
    message = "Les inscriptions sont fermées : demandez un compte à l'administration."
    code = "inscription_fermee"

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(settings.INSCRIPTION_OUVERTE)
