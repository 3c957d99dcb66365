from axes import apps


class Axes(apps.AppConfig):  # type: ignore[misc]
    verbose_name = "Connexions"  # what the administration heads its page with
