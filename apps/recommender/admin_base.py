from apps.core import admin


class ReadOnlyAdmin(admin.ReadOnlyAdmin):
    """What training writes is for reading; only training writes it."""

    # Below, it would lie on the last row.
    list_horizontal_scrollbar_top = True
