"""« Voir comme » : the recommendations of a person, as that person would get them."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action

from apps.core.models import Epreuve, Interaction, TypeInteraction, User
from apps.recommender.drawing import table
from apps.recommender.labels import OF_THE_MODEL, SOURCES, decimal, signed
from apps.recommender.services.preview import Preview, seen_as
from apps.recommender.services.recommendations import Reason


class PersonForm(forms.Form):
    """Posted: to look is written down, which following a link must not do."""

    personne = forms.ModelChoiceField(
        User.objects.filter(is_active=True).select_related("filiere"),
        label="Personne",
        help_text="Chaque consultation s'inscrit à l'historique du compte.",
        widget=AutocompleteSelect(Interaction._meta.get_field("user"), admin.site),
        error_messages={
            "required": "Choisissez quelqu'un.",
            "invalid_choice": "Ce compte est désactivé, ou n'existe pas : choisissez-en un autre.",
        },
    )


class PreviewMixin(ModelAdmin):  # type: ignore[misc]
    @action(  # type: ignore[untyped-decorator]
        description="Voir comme", url_path="voir-comme", permissions=["view"]
    )
    def preview_page(self, request: HttpRequest) -> HttpResponse:
        form = PersonForm(request.POST or None)
        context = self.admin_site.each_context(request) | {
            "title": "Voir comme",
            "form": form,
        }
        if form.is_valid():
            seen = seen_as(form.cleaned_data["personne"], par=cast(User, request.user))
            context |= {
                "seen": seen,
                "recommended": _recommended(seen),
                "done": _done(seen),
            }
        elif form.is_bound:
            # The widget asks the database for whatever was posted, a word too: it starts anew.
            self.message_user(request, form.errors["personne"].as_text(), messages.ERROR)
            context["form"] = PersonForm()
        return TemplateResponse(request, "admin/recommender/modelmetadata/preview.html", context)


def _recommended(seen: Preview) -> SafeString:
    rows = (
        (
            one.rang,
            _under(one.epreuve, SOURCES[one.source], _reasons(one.raisons)),
            decimal(one.score, 3) if one.source in OF_THE_MODEL else "–",
        )
        for one in seen.answer.recommendations
    )
    headers = ("rang", "épreuve", "score")
    return table(headers, rows, "Recommandations de cette personne", "words")


def _reasons(reasons: list[Reason]) -> SafeString:
    """One that would read as +0,000 is none."""
    return format_html_join(
        "",
        '<span class="under">parce que : {} ({}, {}){}</span>',
        (
            (_link(one.epreuve), _gesture(one.geste), signed(one.contribution, 3), _without(one))
            for one in reasons
            if round(one.contribution, 3)
        ),
    )


def _gesture(geste: str) -> str:
    return TypeInteraction(geste).label.lower()


def _without(reason: Reason) -> str:
    return f" ; sans elle, rang {reason.rang_sans}" if reason.rang_sans else ""


def _done(seen: Preview) -> SafeString:
    rows: list[tuple[Any, ...]] = [
        (
            f"{timezone.localtime(one.date):%d/%m/%Y}",
            _under(
                one.epreuve,
                f"{one.get_type_interaction_display()}, {one.get_contexte_display().lower()}",
            ),
        )
        for one in seen.last
    ]
    headers = ("date", "épreuve")
    return table(headers, rows, "Derniers gestes de cette personne", "words")


def _under(epreuve: Epreuve, said: str, more: SafeString | str = "") -> SafeString:
    """What is said of an épreuve, below its title: a phone has no room beside it."""
    return format_html('{}<span class="under">{}</span>{}', _link(epreuve), said, more)


def _link(epreuve: Epreuve) -> SafeString:
    url = reverse("admin:core_epreuve_change", args=[epreuve.pk])
    return format_html('<a href="{}">{}</a>', url, epreuve)
