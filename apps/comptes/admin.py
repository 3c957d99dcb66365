"""The administration of accounts and of what keeps their doors."""

from typing import Any, cast

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldBooleanWidget

from apps.comptes.services.accounts import close_sessions
from apps.comptes.services.password_links import link_path
from apps.core.admin import ReadOnlyAdmin
from apps.core.models import Role, User
from apps.core.services.epreuves import refresh_search_text

# Groups and permissions play no part here; tokens are nobody's to read.
admin.site.unregister(
    (Group, OutstandingToken, BlacklistedToken, AccessAttempt, AccessFailureLog, AccessLog)
)


class RoleFormMixin(forms.ModelForm):  # type: ignore[type-arg]
    def clean(self) -> dict[str, Any] | None:
        """The role decides who enters the administration."""
        cleaned = super().clean()
        is_administrateur = self.cleaned_data.get("role") == Role.ADMINISTRATEUR
        self.instance.is_staff = self.instance.is_superuser = is_administrateur
        return cleaned


class UserForm(RoleFormMixin, UserChangeForm):  # type: ignore[misc]
    pass


class UserAddForm(RoleFormMixin, UserCreationForm):  # type: ignore[misc]
    pass


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[misc]
    temporaire = forms.BooleanField(
        label="Temporaire : servira une fois, à en choisir un autre",
        required=False,
        widget=UnfoldBooleanWidget,
    )

    def save(self, commit: bool = True) -> User:
        self.user.mot_de_passe_temporaire = self.cleaned_data["temporaire"]
        return cast(User, super().save(commit))


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    form = UserForm
    add_form = UserAddForm
    change_password_form = PasswordForm
    list_display = ("username", "nom_complet", "role", "filiere", "niveau", "is_active")
    list_filter = ("role", "filiere", "niveau", "is_active")
    list_select_related = ("filiere",)
    search_fields = ("username", "first_name", "last_name", "email", "matricule")
    ordering = ("username",)
    autocomplete_fields = ("filiere",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined", "dans_les_journaux")
    actions_detail = ("password_link",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Personne", {"fields": (("first_name", "last_name"), "email", "matricule")}),
        ("Études", {"fields": ("role", ("filiere", "niveau"), "personnalisation")}),
        (
            "Compte",
            {
                "fields": (
                    ("is_active", "mot_de_passe_temporaire"),
                    ("date_joined", "last_login"),
                    "dans_les_journaux",
                )
            },
        ),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "role", "usable_password", "password1", "password2")}),
        ("Compte", {"fields": ("mot_de_passe_temporaire",)}),
    )

    @admin.display(description="dans les journaux")
    def dans_les_journaux(self, user: User) -> str:
        """What the lines of the log about this account carry."""
        return user.empreinte

    @admin.display(description="nom", ordering="last_name")
    def nom_complet(self, user: User) -> str:
        return user.get_full_name()

    @action(  # type: ignore[untyped-decorator]
        description="Lien de mot de passe", url_path="lien", permissions=["change"]
    )
    def password_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Shown once, to who asks by the form; the journal says that it was made, no more."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        title = f"Lien de mot de passe : {user}"
        context = self.admin_site.each_context(request) | {"title": title, "original": user}
        if request.method == "POST" and user.is_active:
            context["link"] = request.build_absolute_uri(link_path(user))
            self.log_change(request, user, "Lien de mot de passe créé.")
        return TemplateResponse(request, "admin/core/user/password_link.html", context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Without the counters that move by themselves: saving a person leaves them be."""
        return super().get_queryset(request).defer("token_version", "version_historique")

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Deactivate instead: what a person did stands in counters and in the training set."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and {"is_active", "role", "mot_de_passe_temporaire"} & set(form.changed_data):
            close_sessions(obj)  # Else old tokens would live again once the change is undone.
        if {"first_name", "last_name"} & set(form.changed_data):
            refresh_search_text(obj.epreuves_enseignees.all())


@admin.register(AccessAttempt)
class AccessAttemptAdmin(ReadOnlyAdmin):
    """Deleting a line opens the login again."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    search_fields = ("username", "ip_address")
    fields = ("username", "ip_address", "failures_since_start", "attempt_time", "user_agent")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True
