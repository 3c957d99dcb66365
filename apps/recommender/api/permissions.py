from typing import Any

from django.contrib.admin import site
from django.db.models import Model
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.recommender.models import ActivationModele, ModelMetadata, TrainingLog


class AsInTheAdministration(BasePermission):
    """Who may see `model` there, and `act` on it, may here; nobody else."""

    model: type[Model]
    act = "view"

    def has_permission(self, request: Request, view: Any) -> bool:
        act = "view" if request.method in SAFE_METHODS else self.act
        is_allowed = getattr(site.get_model_admin(self.model), f"has_{act}_permission")
        return site.has_permission(request) and is_allowed(request)


class TrainingPermission(AsInTheAdministration):
    model, act = TrainingLog, "train"


class ModelPermission(AsInTheAdministration):
    model, act = ModelMetadata, "activate"


class JournalPermission(AsInTheAdministration):
    model = ActivationModele
