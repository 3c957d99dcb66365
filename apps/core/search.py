"""A search, read: the words that must all be found, and what each may stand for.

A word of the search stands for the words that begin with it, or for itself alone where it is
shorter than PREFIX_MIN; from TOLERANCE_MIN letters on, also for what it misspells by one letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import takewhile
from operator import or_
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.models import Case, Func, Lookup, Q, TextField, Value, When

from apps.core.text import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.backends.base.base import BaseDatabaseWrapper

PREFIX_MIN = 3
TOLERANCE_MIN = 5

if TYPE_CHECKING:
    _TextField = TextField[Iterable[str], str]
else:
    _TextField = TextField

# All of these groups must be found, each by one of its beginnings.
Groups = tuple[tuple[str, ...], ...]


class WordsField(_TextField):
    """A set of words, which `__hold` searches: a tsvector on PostgreSQL, a text elsewhere."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return "tsvector" if connection.vendor == "postgresql" else super().db_type(connection)

    def get_prep_value(self, value: Iterable[str]) -> str:
        """Words have no sign that a tsvector would read as its own."""
        return f" {' '.join(sorted(set(value)))} "

    def from_db_value(self, value: str, *args: Any) -> list[str]:
        return value.replace("'", "").split()


@WordsField.register_lookup
class Hold(Lookup):
    """Are all the groups found in the set?"""

    lookup_name = "hold"
    prepare_rhs = False

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        column, params = self.process_lhs(compiler, connection)
        alternatives = (" | ".join(map(_lexeme, group)) for group in self.rhs)
        query = " & ".join(f"({group})" for group in alternatives)
        return f"{column} @@ %s::tsquery", (*params, query)

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        column, params = self.process_lhs(compiler, connection)
        sought = [[_fragment(start) for start in group] for group in self.rhs]
        tests = (" OR ".join([f"INSTR({column}, %s) > 0"] * len(group)) for group in sought)
        sql = " AND ".join(f"({test})" for test in tests)
        return sql, [p for group in sought for fragment in group for p in (*params, fragment)]


def _lexeme(start: str) -> str:
    return f"'{start}':*" if len(start) >= PREFIX_MIN else f"'{start}'"


def _fragment(start: str) -> str:
    return f" {start}" if len(start) >= PREFIX_MIN else f" {start} "


class AllWords(Func):
    """Of the record and of the PDF, by the function whose values the migrations index."""

    function = "core_tous_les_mots"
    arity = 2
    output_field = WordsField()

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s)", arg_joiner=" || ")


@dataclass(frozen=True)
class Search:
    exact: Groups
    tolerant: Groups

    @property
    def condition(self) -> Hold:
        return Hold(AllWords("texte__fiche", "texte__sujet"), self.tolerant)

    @property
    def rank(self) -> Case:
        """From 0, the best: the title, then the record, as spelt before as meant; then the PDF.

        What only the PDF says, often the most, is known from one test.
        """
        in_record = Case(
            When(texte__titre__hold=self.exact, then=Value(0)),
            When(texte__fiche__hold=self.exact, then=Value(1)),
            When(texte__titre__hold=self.tolerant, then=Value(2)),
            default=Value(3),
        )
        return Case(When(texte__fiche__hold=self.tolerant, then=in_record), default=Value(4))


def read_search(text: str) -> Search | None:
    """None where the text holds no word; otherwise at most one query, of the known words."""
    terms = words(text)
    if not terms:
        return None
    meant = _corrections([term for term in terms if _may_be_misspelt(term)])
    return Search(
        exact=tuple((term,) for term in terms),
        tolerant=tuple((term, *meant.get(term, ())) for term in terms),
    )


def _may_be_misspelt(term: str) -> bool:
    """A number is another number, not a slip."""
    return len(term) >= TOLERANCE_MIN and term.isalpha()


def _corrections(terms: list[str]) -> dict[str, list[str]]:
    """For each term, the beginnings of known words that it misspells."""
    if not terms:
        return {}
    near = reduce(or_, map(_shares_a_half, terms))
    mots = apps.get_model("core", "Mot")._default_manager
    known = list(mots.filter(near).values_list("texte", flat=True))
    return {
        term: sorted({start for word in known if (start := misspelt(term, word))}) for term in terms
    }


def _shares_a_half(term: str) -> Q:
    """One wrong letter leaves a half of a word as it is, unless it swaps the two at the middle."""
    half = len(term) // 2
    swapped = term[: half - 1] + term[half] + term[half - 1]
    return (
        Q(texte__startswith=term[:half])
        | Q(texte__contains=term[half:])
        | Q(texte__startswith=swapped)
    )


def misspelt(term: str, word: str) -> str | None:
    """The beginning of `word` that `term` is one letter away from, if it does not begin it.

    A beginning as short as « cour » is that of too many words to be what « coeur » meant.
    """
    if word.startswith(term):
        return None
    starts = (word[:size] for size in (len(term), len(term) + 1, len(term) - 1))
    telling = (start for start in starts if start == word or len(start) >= TOLERANCE_MIN)
    return next((start for start in telling if _one_letter_apart(term, start)), None)


def _one_letter_apart(one: str, other: str) -> bool:
    """A letter replaced, missing or too many, or two neighbours swapped."""
    pairs = zip(one, other, strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    a, b = one[common:], other[common:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
