"""The administration, for administrateurs only: they see everything, services do the writing."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import label_for_field
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Case, Count, Exists, F, OuterRef, QuerySet, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django_tasks_db.models import DBTaskResult
from rest_framework.exceptions import APIException
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextareaWidget,
)

from apps.core.admin_catalogue import CatalogueAdminMixin
from apps.core.exceptions import Conflict, in_words
from apps.core.models import (
    MOTIF_MAX,
    Commentaire,
    Epreuve,
    Evaluation,
    Filiere,
    Interaction,
    Matiere,
    Signalement,
    Statut,
    StatutCommentaire,
    User,
    validate_visible,
)
from apps.core.querysets import CommentaireQuerySet, EpreuveQuerySet
from apps.core.review import Action
from apps.core.services.commentaires import moderate_comment
from apps.core.services.epreuves import (
    deposit_epreuve,
    edit_epreuve,
    merge,
    move_epreuve,
    refresh_search_text,
    refuse_a_double,
)
from apps.core.services.evaluations import withdraw_evaluation
from apps.core.services.files import DOCUMENTS, Link, Pdf, read_document, signed_token

# What became of a task is told where it was asked for.
admin.site.unregister(DBTaskResult)


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


# --- Épreuves ----------------------------------------------------------------------------


class NomenclatureAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("nom", "code", "nombre_epreuves")
    search_fields = ("nom", "code")
    # Said again: counting drops the order of the model, and pages need one.
    ordering = ("nom", "code")
    actions = ("merge_selected",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.annotate(nombre=Count("epreuves"))  # type: ignore[no-any-return]

    @admin.display(description="épreuves", ordering="nombre")
    def nombre_epreuves(self, row: Any) -> int:
        return int(row.nombre)

    @admin.action(description="Fusionner dans celle qui a le plus d'épreuves")
    def merge_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        kept, *others = queryset.order_by("-nombre", "pk")
        if not others:
            self.message_user(request, "Choisissez-en au moins deux.", messages.WARNING)
            return
        merge(kept, others)
        names = ", ".join(row.nom for row in others)
        self.message_user(request, f"{names} : fusion dans {kept.nom}.", messages.SUCCESS)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and form.changed_data:
            refresh_search_text(obj.epreuves.all())


@admin.register(Matiere)
class MatiereAdmin(NomenclatureAdmin):
    pass


@admin.register(Filiere)
class FiliereAdmin(NomenclatureAdmin):
    pass


class PdfInput(UnfoldAdminFileFieldWidget):  # type: ignore[misc]
    """Without a link: a file has no public address; `documents` shows the signed ones."""

    def is_initial(self, value: Any) -> bool:
        return False


class EpreuveForm(forms.ModelForm):  # type: ignore[type-arg]
    fichiers: dict[str, Pdf | None]

    def clean(self) -> dict[str, Any] | None:
        self.fichiers = {}
        for field in DOCUMENTS.values():
            self._read(field)
        return super().clean()

    def _read(self, field: str) -> None:
        upload = self.cleaned_data.get(field)
        if not isinstance(upload, UploadedFile):
            return
        try:
            self.fichiers[field] = pdf = read_document([upload])
            if field == "fichier":
                double = Epreuve(pk=self.instance.pk, statut=Statut.SOUMISE, sha256=pdf.sha256)
                refuse_a_double(double)
        except APIException as refusal:
            self.add_error(field, ValidationError(in_words(refusal)))


class RejectionForm(forms.Form):
    motif = forms.CharField(
        label="Motif",
        help_text="L'auteur le lit, avec son épreuve.",
        max_length=MOTIF_MAX,
        validators=[validate_visible],
        widget=UnfoldAdminTextareaWidget,
    )


# What the page that asks for a reason sends again, for the same action on the same rows.
POSTED_AGAIN = ("action", "select_across", ACTION_CHECKBOX_NAME)


@admin.register(Epreuve)
class EpreuveAdmin(CatalogueAdminMixin):
    form = EpreuveForm
    list_display = ("titre", "statut", "documents", "depose_par", "matiere", "niveau", "annee")
    list_filter = ("statut", "type_epreuve", "session", "niveau", "matiere", "filiere")
    list_select_related = ("matiere", "filiere")
    search_fields = ("titre",)
    search_help_text = (
        "Titre, description, matière, enseignant ou PDF : accents, casse et une lettre fausse "
        "par mot indifférents."
    )
    autocomplete_fields = ("matiere", "filiere", "enseignant")
    list_before_template = "admin/core/file.html"
    # What waits comes first, the longest waiting before all.
    ordering = (
        Case(When(statut=Statut.SOUMISE, then=F("date_creation"))).asc(nulls_last=True),
        F("date_publication").desc(nulls_last=True),
        "-pk",
    )
    actions = ("publish", "reject", "archive", "restore", "remove_corrige", "export_selected")
    readonly_fields = (
        "statut",
        "motif_rejet",
        "depose_par",
        "documents",
        "texte_du_sujet",
        "date_creation",
        "date_publication",
        "nb_pages",
        "taille_octets",
        "sha256",
        "nb_vues",
        "nb_telechargements",
        "nb_evaluations",
        "note_difficulte_moyenne",
        "note_pertinence_moyenne",
        "difficulte_calibree",
    )
    fieldsets = (
        (None, {"fields": ("titre", "description", "statut", "motif_rejet")}),
        (
            "Documents",
            {
                "fields": (
                    ("documents", "texte_du_sujet"),
                    "fichier",
                    "fichier_corrige",
                    "corrige_visible_le",
                )
            },
        ),
        (
            "Classement",
            {
                "fields": (
                    ("matiere", "filiere"),
                    ("niveau", "type_epreuve", "session"),
                    ("semestre", "annee", "annee_academique"),
                    ("enseignant", "enseignant_nom"),
                    "reference_externe",
                )
            },
        ),
        (
            "Suivi",
            {
                "fields": (
                    ("depose_par", "date_creation", "date_publication"),
                    ("nb_vues", "nb_telechargements", "nb_evaluations"),
                    ("note_difficulte_moyenne", "note_pertinence_moyenne", "difficulte_calibree"),
                    ("nb_pages", "taille_octets"),
                    "sha256",
                )
            },
        ),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in DOCUMENTS.values():
            kwargs["widget"] = PdfInput()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> EpreuveQuerySet:
        return Epreuve.objects.with_names()

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        return queryset.matching(search_term), False

    def has_delete_permission(self, request: HttpRequest, obj: Epreuve | None = None) -> bool:
        """Archive instead: what people did with an épreuve outlives it."""
        return False

    def save_model(self, request: HttpRequest, obj: Epreuve, form: Any, change: bool) -> None:
        files = set(DOCUMENTS.values())
        fields = {name: form.cleaned_data[name] for name in form.changed_data if name not in files}
        person = cast(User, request.user)
        if change:
            edit_epreuve(obj, par=person, fichiers=form.fichiers, **fields)
        else:
            obj.pk = deposit_epreuve(auteur=person, fichiers=form.fichiers, **fields).pk

    def log_addition(self, request: HttpRequest, obj: Epreuve, message: Any) -> None:
        """The service has."""

    log_change = log_addition

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)  # type: ignore[no-any-return]
        except Conflict as conflict:
            # The same file came in between the form's check and its saving.
            self.message_user(request, str(conflict.detail), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    # --- Documents ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.document_view)
        own = path("<int:pk>/document/<str:document>/", view, name="core_epreuve_document")
        return [own, *super().get_urls()]

    def document_view(self, request: HttpRequest, pk: int, document: str) -> HttpResponse:
        if document not in DOCUMENTS:
            raise Http404
        token = signed_token(Link(pk, document, cast(User, request.user).pk))
        return HttpResponseRedirect(reverse("fichier", args=[token]))

    @admin.display(description="documents")
    def documents(self, epreuve: Epreuve) -> SafeString | str:
        links = (
            (
                reverse("admin:core_epreuve_document", args=[epreuve.pk, document]),
                label_for_field(field, Epreuve),
            )
            for document, field in DOCUMENTS.items()
            if getattr(epreuve, field)
        )
        link = '<a class="text-primary-600 whitespace-nowrap" href="{}">{}</a>'
        return format_html_join(" ", link, links) or "Aucun."

    @admin.display(description="texte du sujet")
    def texte_du_sujet(self, epreuve: Epreuve) -> str:
        return epreuve.texte.get_etat_display()

    # --- Moderation ---

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        waiting = Epreuve.objects.filter(statut=Statut.SOUMISE).count()
        kwargs["extra_context"] = {"file": f"À modérer : {waiting}"}
        return super().changelist_view(request, *args, **kwargs)  # type: ignore[no-any-return]

    @admin.action(description=Action.PUBLIER.label)
    def publish(self, request: HttpRequest, queryset: EpreuveQuerySet) -> None:
        self._move(request, queryset, Action.PUBLIER)

    @admin.action(description=f"{Action.REJETER.label}…")
    def reject(self, request: HttpRequest, queryset: EpreuveQuerySet) -> HttpResponse | None:
        """Asks for the reason on a page of its own, which comes back here with it."""
        form = RejectionForm(request.POST if "motif" in request.POST else None)
        if form.is_valid():
            self._move(request, queryset, Action.REJETER, form.cleaned_data["motif"])
            return None
        context = self.admin_site.each_context(request) | {
            "title": "Rejeter",
            "opts": self.opts,
            "form": form,
            "epreuves": queryset,
            "posted": {name: request.POST.getlist(name) for name in POSTED_AGAIN},
        }
        return TemplateResponse(request, "admin/core/epreuve/reject.html", context)

    @admin.action(description=Action.ARCHIVER.label)
    def archive(self, request: HttpRequest, queryset: EpreuveQuerySet) -> None:
        self._move(request, queryset, Action.ARCHIVER)

    @admin.action(description=Action.RESTAURER.label)
    def restore(self, request: HttpRequest, queryset: EpreuveQuerySet) -> None:
        self._move(request, queryset, Action.RESTAURER)

    def _move(
        self, request: HttpRequest, queryset: EpreuveQuerySet, action: Action, motif: str = ""
    ) -> None:
        for epreuve in queryset:
            try:
                moved = move_epreuve(epreuve, action, par=cast(User, request.user), motif=motif)
            except Conflict as conflict:
                self.message_user(request, f"{epreuve} : {conflict.detail}", messages.ERROR)
            else:
                done = f"{moved} : {moved.get_statut_display()}."
                self.message_user(request, done, messages.SUCCESS)

    @admin.action(description="Retirer le corrigé")
    def remove_corrige(self, request: HttpRequest, queryset: EpreuveQuerySet) -> None:
        for epreuve in queryset:
            edit_epreuve(epreuve, par=cast(User, request.user), fichiers={"fichier_corrige": None})
        self.message_user(request, "Corrigés retirés.", messages.SUCCESS)


# --- What people do ----------------------------------------------------------------------


@admin.register(Interaction)
class InteractionAdmin(ReadOnlyAdmin):
    list_display = ("date", "user", "type_interaction", "epreuve", "contexte")
    list_filter = ("type_interaction", "contexte")
    list_select_related = ("user", "epreuve")
    search_fields = ("user__username", "epreuve__titre")
    date_hierarchy = "date"
    show_full_result_count = False


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    """A note is its author's: a moderator withdraws it, never changes it."""

    list_display = ("epreuve", "user", "note_difficulte", "note_pertinence", "date_modification")
    list_filter = ("note_pertinence", "note_difficulte")
    list_select_related = ("user", "epreuve")
    search_fields = ("user__username", "epreuve__titre")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def delete_model(self, request: HttpRequest, obj: Evaluation) -> None:
        withdraw_evaluation(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Evaluation]) -> None:
        for evaluation in queryset:
            withdraw_evaluation(evaluation)


class SignalementInline(TabularInline):  # type: ignore[misc]
    model = Signalement
    fields = readonly_fields = ("user", "motif", "date", "traite")
    extra = 0
    can_delete = False
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Signalement]:
        rows: QuerySet[Signalement] = super().get_queryset(request)
        return rows.select_related("user", "commentaire__auteur", "commentaire__epreuve")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReportedFilter(admin.SimpleListFilter):
    title = "signalements"
    parameter_name = "signales"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("a_decider", "À décider")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Commentaire]
    ) -> QuerySet[Commentaire]:
        waiting = Signalement.objects.filter(traite=False).values("commentaire")
        return queryset.filter(pk__in=waiting) if self.value() else queryset


@admin.register(Commentaire)
class CommentaireAdmin(ReadOnlyAdmin):
    list_display = ("extrait", "signale", "statut", "auteur", "epreuve", "date_creation")
    list_filter = ("statut", ReportedFilter)
    list_select_related = ("auteur", "epreuve")
    search_fields = ("contenu", "auteur__username", "epreuve__titre")
    # What was reported and waits for a decision comes first.
    ordering = (
        Exists(Signalement.objects.filter(commentaire=OuterRef("pk"), traite=False)).desc(),
        "-date_creation",
        "-pk",
    )
    list_before_template = "admin/core/file.html"
    inlines = (SignalementInline,)
    actions = ("show", "hide", "remove")

    def get_queryset(self, request: HttpRequest) -> CommentaireQuerySet:
        return Commentaire.objects.with_reports()

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        reported = Commentaire.objects.filter(signalements__traite=False).distinct().count()
        kwargs["extra_context"] = {"file": f"Signalés, à décider : {reported}"}
        return super().changelist_view(request, *args, **kwargs)  # type: ignore[no-any-return]

    @admin.display(description="commentaire")
    def extrait(self, commentaire: Commentaire) -> str:
        return commentaire.contenu[:80]

    @admin.display(description="signalements", ordering="nb_signalements")
    def signale(self, commentaire: Any) -> int:
        return int(commentaire.nb_signalements)

    @admin.action(description="Garder, ou rendre visibles")
    def show(self, request: HttpRequest, queryset: QuerySet[Commentaire]) -> None:
        self._decide(request, queryset, StatutCommentaire.VISIBLE)

    @admin.action(description="Masquer")
    def hide(self, request: HttpRequest, queryset: QuerySet[Commentaire]) -> None:
        self._decide(request, queryset, StatutCommentaire.MASQUE)

    @admin.action(description="Supprimer")
    def remove(self, request: HttpRequest, queryset: QuerySet[Commentaire]) -> None:
        self._decide(request, queryset, StatutCommentaire.SUPPRIME)

    def _decide(
        self, request: HttpRequest, queryset: QuerySet[Commentaire], statut: StatutCommentaire
    ) -> None:
        for commentaire in queryset:
            try:
                moderate_comment(commentaire, statut, par=cast(User, request.user))
            except Conflict as conflict:
                self.message_user(request, f"{commentaire} : {conflict.detail}", messages.ERROR)
            else:
                self.message_user(request, f"{commentaire} : {statut.label}.", messages.SUCCESS)
