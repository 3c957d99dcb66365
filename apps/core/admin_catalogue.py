"""The pages of the administration where a catalogue comes in and goes out."""

from dataclasses import asdict, replace
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core import signing
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanWidget,
)

from apps.core.catalogue_file import COLUMNS, write_catalogue
from apps.core.exceptions import Conflict
from apps.core.models import Epreuve, User
from apps.core.querysets import EpreuveQuerySet
from apps.core.services import waiting_imports
from apps.core.services.archives import unpacked
from apps.core.services.import_epreuves import (
    FAULTS_SHOWN,
    CatalogueOptions,
    CatalogueReport,
    Existing,
    import_epreuves,
)
from apps.core.services.import_files import MalformedFile
from apps.core.services.waiting_imports import NoLongerWaiting, Sent
from apps.core.uploads import LimitedArchive, UploadTooLarge

_SALT = "apps.core.admin_catalogue"
CONFIRM_WITHIN = 3600


class CatalogueForm(forms.Form):
    catalogue = forms.FileField(
        label="Catalogue (CSV)",
        help_text=f"Colonnes : {', '.join(COLUMNS)}. Seules titre, matiere et fichier doivent être "
        "là.",
        widget=UnfoldAdminFileFieldWidget,
    )
    archive = forms.FileField(
        label="PDF (ZIP)",
        required=False,
        help_text="Les documents que nomment fichier et corrige.",
        widget=UnfoldAdminFileFieldWidget,
    )
    existing = forms.ChoiceField(
        label="Une épreuve que la banque a déjà",
        choices=Existing.choices,
        widget=UnfoldAdminSelectWidget,
    )
    create_missing = forms.BooleanField(
        label="Créer les matières et filières inconnues",
        required=False,
        widget=UnfoldBooleanWidget,
    )
    publish = forms.BooleanField(
        label="Publier aussitôt ce qui est ajouté", required=False, widget=UnfoldBooleanWidget
    )

    def clean_catalogue(self) -> "UploadedFile[bytes]":
        catalogue = cast("UploadedFile[bytes]", self.cleaned_data["catalogue"])
        if (catalogue.size or 0) > settings.TAILLE_MAX_OCTETS:
            most = settings.TAILLE_MAX_OCTETS >> 20
            raise forms.ValidationError(f"Ce catalogue dépasse {most} Mo : divisez-le.")
        return catalogue

    def options(self) -> CatalogueOptions:
        said = self.cleaned_data
        return CatalogueOptions(
            existing=Existing(said["existing"]),
            publish=said["publish"],
            create_missing=said["create_missing"],
        )


class CatalogueAdminMixin(ModelAdmin):  # type: ignore[misc]
    actions_list = ("import_page", "export_page")

    @admin.action(description="Exporter en CSV")
    def export_selected(
        self, request: HttpRequest, queryset: EpreuveQuerySet
    ) -> StreamingHttpResponse:
        return _download(queryset)

    @action(  # type: ignore[untyped-decorator]
        description="Tout exporter", url_path="exporter", permissions=["view"]
    )
    def export_page(self, request: HttpRequest) -> StreamingHttpResponse:
        return _download(Epreuve.objects.order_by("pk"))

    # Its own upload handler is set before anything reads the body, which CSRF does.
    @csrf_exempt
    @action(  # type: ignore[untyped-decorator]
        description="Importer", url_path="importer", permissions=["add"]
    )
    def import_page(self, request: HttpRequest) -> HttpResponseBase:
        """First a rehearsal, which tells all, then the import itself."""
        request.upload_handlers = [MemoryFileUploadHandler(request), LimitedArchive(request)]
        try:
            return csrf_protect(self._import)(request)
        except UploadTooLarge:
            most = settings.IMPORT_ARCHIVE_MAX_OCTETS >> 20
            return self._again(request, f"Un fichier dépasse {most} Mo : divisez-le.")

    def _import(self, request: HttpRequest) -> HttpResponse:
        if "jeton" in request.POST:
            return self._confirm(request, request.POST["jeton"])
        posted = request.method == "POST"
        form = CatalogueForm(request.POST, request.FILES) if posted else CatalogueForm()
        if not form.is_valid():
            return self._page(request, form=form)
        options = form.options()
        key = waiting_imports.keep(form.cleaned_data["catalogue"], form.cleaned_data["archive"])
        token = ""
        try:
            rehearsal = replace(options, dry_run=True)
            report = _run(waiting_imports.sent(key), request, rehearsal)
            if not report.faults:
                said = [key, request.user.pk, asdict(options)]
                token = signing.dumps(said, salt=_SALT)
        except MalformedFile as error:
            form.add_error(None, str(error))
            return self._page(request, form=form)
        finally:
            if not token:
                waiting_imports.discard(key)
        return self._page(request, form=CatalogueForm(), report=report, token=token)

    def _confirm(self, request: HttpRequest, token: str) -> HttpResponse:
        try:
            key, user, options = signing.loads(token, salt=_SALT, max_age=CONFIRM_WITHIN)
            if user != request.user.pk:
                raise NoLongerWaiting
            with waiting_imports.taken(key) as sent:
                wanted = CatalogueOptions(**options | {"existing": Existing(options["existing"])})
                report = _run(sent, request, wanted)
        except (signing.BadSignature, NoLongerWaiting):
            return self._again(request, "Cet envoi a déjà servi, ou il est périmé : refaites-le.")
        except MalformedFile as error:
            return self._again(request, str(error))
        except Conflict as conflict:
            return self._again(request, f"Rien n'a été écrit. {conflict.detail}")
        if report.faults:
            return self._page(request, form=CatalogueForm(), report=report)
        self.message_user(request, f"Catalogue importé : {report}", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:core_epreuve_changelist"))

    def _again(self, request: HttpRequest, message: str) -> HttpResponse:
        self.message_user(request, message, messages.ERROR)
        return HttpResponseRedirect(request.path)

    def _page(self, request: HttpRequest, **more: Any) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": "Importer un catalogue",
            "opts": self.opts,
            "shown": FAULTS_SHOWN,
            **more,
        }
        return TemplateResponse(request, "admin/core/epreuve/import.html", context)


def _run(sent: Sent, request: HttpRequest, options: CatalogueOptions) -> CatalogueReport:
    with unpacked(sent.archive) as documents:
        return import_epreuves(
            sent.catalogue,
            documents=documents,
            par=cast(User, request.user),
            options=options,
        )


def _download(epreuves: EpreuveQuerySet) -> StreamingHttpResponse:
    name = f"epreuves-{timezone.localdate()}.csv"
    return StreamingHttpResponse(
        write_catalogue(epreuves),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
