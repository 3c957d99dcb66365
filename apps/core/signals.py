"""What the bank announces, or asks, so that it need not know who listens.

`catalogue_changed` is sent, inside the transaction, whenever the set of published épreuves or
what is said of them changes. `account_erased` is sent once the erasure is committed. `export_asked`
is sent with a `user`: each who listens returns what it holds of them, by section.
`recommendation_followed` is sent, inside the transaction of the click and with its person's row
locked, with `user`, `epreuve`, `requete_id` and `date`: whoever gave that answer returns its kind,
a Contexte, or None if it did not show this épreuve to this person of late.

The two about accounts are here too: who listens need not know `apps.comptes`.
"""

from django.dispatch import Signal

catalogue_changed = Signal()
account_erased = Signal()
export_asked = Signal()
recommendation_followed = Signal()
