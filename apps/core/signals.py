"""The facts that the bank announces, so that it need not know who listens.

`catalogue_changed` is sent, inside the transaction, whenever the set of published épreuves or
what is said of them changes.
"""

from django.dispatch import Signal

catalogue_changed = Signal()
