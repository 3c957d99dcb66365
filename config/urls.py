from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView, TemplateView
from drf_spectacular.views import SpectacularSwaggerView

from apps.comptes.pages import NewPasswordView
from apps.core import errors
from apps.core.monitoring import metrics_page
from apps.core.views import SchemaView


def favicon(request: HttpRequest) -> HttpResponseRedirect:
    """Browsers ask for it wherever no page names one."""
    return HttpResponseRedirect(static("favicon.svg"))


urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("apps.core.urls")),
    path("api/", include("apps.comptes.urls")),
    path("api/recommendations/", include("apps.recommender.api.urls")),
    path("api/paquets/", include("apps.paquets.urls")),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(), name="docs"),
    re_path(r"^api/", errors.unknown_path),
    path("mot-de-passe/<uidb64>/<token>/", NewPasswordView.as_view(), name="nouveau-mot-de-passe"),
    path(
        "mot-de-passe/choisi/",
        TemplateView.as_view(template_name="comptes/mot_de_passe_choisi.html"),
        name="mot-de-passe-choisi",
    ),
    path("metrics", metrics_page, name="metrics"),
    path("", RedirectView.as_view(pattern_name="docs")),
    path("favicon.ico", favicon),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.page_not_found
handler500 = errors.server_error
