"""The pages of our own that people open in a browser, beside the administration."""

from typing import Any, cast

from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpResponse
from django.urls import reverse_lazy

from apps.comptes.services.accounts import change_password
from apps.comptes.services.password_links import links
from apps.core.exceptions import Conflict
from apps.core.models import User


class NewPasswordForm(SetPasswordForm):  # type: ignore[type-arg]
    def save(self, commit: bool = True) -> User:
        change_password(self.user, self.cleaned_data["new_password1"])
        return cast(User, self.user)


class NewPasswordView(PasswordResetConfirmView):
    form_class = NewPasswordForm
    template_name = "comptes/nouveau_mot_de_passe.html"
    success_url = reverse_lazy("mot-de-passe-choisi")
    token_generator = links

    def get_user(self, uidb64: str) -> Any:
        user = super().get_user(uidb64)
        return user if user and user.is_active else None

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            return super().form_valid(form)
        except Conflict:  # The link has just served, in another window.
            self.validlink = False
            return self.render_to_response(self.get_context_data(form=None))
