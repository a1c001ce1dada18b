"""What a resource is: its table, its fields, how each is named, read, shown and described. No database, no terminal.

Rule 1: one description drives list, show, add, set, remove, apply, export and the JSON Schema: no code per resource.
Rule 2: a value is one of three things: text as typed, plain as in YAML and JSON (str, int, bool, list of str, None),
or stored as the database takes it. `parse` makes text plain, `check` makes plain stored, `plain` makes stored plain.
Rule 3: `plain(check(x))` is the one spelling of x: two values are the same when these are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from tools.errors import OperatorError
from tools.session import shown

Plain = str | int | bool | list[str] | None
Reach = Literal["own", "above"]

ACCOUNT: Final = "account"  # the resource that all others belong to


class FaultError(ValueError):
    """What is wrong with a value: the end of a sentence that begins with it, in the place of "is not <rule>"."""


class Kind(NamedTuple):
    """A kind of values. rule: ends the sentence "'x' is not …". schema: JSON Schema of the plain form.

    check raises ValueError, or FaultError where more can be said. parse never raises: what it cannot read it leaves as
    text, which check refuses. plain also takes what the database gives.
    """

    rule: str
    schema: Mapping[str, Any]
    check: Callable[[Any], Any]
    plain: Callable[[Any], Plain] = lambda stored: stored
    parse: Callable[[str], Plain] = lambda text: text


class Rows(NamedTuple):
    """Where a list stands that is a table of its own: a row per item. Its stored form: a list of lists of integers.

    parent_column: names the row whose list it is. where: column -> value that these rows have besides.
    read: SQL over the row `c` that gives a jsonb array. columns, values: of the insert, a %s for each integer.
    """

    table: str
    parent_column: str
    read: str
    columns: tuple[str, ...]
    values: str
    where: Mapping[str, str] = MappingProxyType({})


class Field(NamedTuple):
    """A value of a resource. name: in YAML and JSON; `--name` with hyphens on the command line.

    column: where it stands, "" = a column of its name. default: plain, what it is when nothing is said, as the database
    has it. required: add needs it. fixed: never changes. listed: `list` shows it.
    refers: name of the resource whose id the column holds; its plain form is how that row is named (see naming.py).
    reach: whose rows it may name: those of the row's own account, or also of accounts above.
    rows: the table that a list stands in; then it has no column.
    computed: SQL over the row `r` that gives the plain form; such a field is shown and never written.
    """

    name: str
    kind: Kind
    help: str
    column: str = ""
    default: Plain = None
    required: bool = False
    fixed: bool = False
    listed: bool = False
    refers: str = ""
    reach: Reach = "above"
    rows: Rows | None = None
    computed: str = ""

    @property
    def option(self) -> str:
        """Return its name on the command line, without the hyphens before it."""
        return self.name.replace("_", "-")

    @property
    def stored_in(self) -> str:
        """Return its column."""
        return self.column or self.name

    @property
    def nullable(self) -> bool:
        """Whether it may be absent altogether."""
        return self.default is None and not self.required

    def read(self, plain: object, called: str = "") -> Any:
        """Return the stored form of a plain value; None stands for the default. Raises OperatorError.

        Of a reference the text itself, which names a row that is still to be found. called: what the error calls the
        field, "" = its name.
        """
        name = called or self.name
        value = self.default if plain is None else plain
        if value is None:
            if self.required:
                raise OperatorError(f"{name}: is missing; it is {self.kind.rule}")
            return None
        try:
            return self.kind.check(value)
        except ValueError as error:
            why = str(error) if isinstance(error, FaultError) else f"is not {self.kind.rule}"
            raise OperatorError(f"{name}: {shown(as_typed(value))} {why}") from error

    def typed(self, text: str) -> Any:
        """Return the stored form of a typed text; an empty one stands for the default. Raises OperatorError."""
        return self.read(self.kind.parse(text) if text else None if not self.required else text, self.option)

    def shown(self, stored: object) -> Plain:
        """Return the plain form of a stored value."""
        return None if stored is None else self.kind.plain(stored)


class Resource(NamedTuple):
    """A kind of rows that tenants have.

    name: of one, for people and for references. section: of several, in YAML and JSON. words: of the command line,
    ("peering", "server") = `tandem peering server`. table: in schema tandem.
    key: the fields that tell two rows of one owner apart (of one parent, where there is one; of all, when `is_global`).
    named_by: the fields that a person names a row by, with `joint` between them; not always unique.
    primary: the columns of the primary key.
    parent: name of the resource whose rows these rows belong to, by `parent_column`; "" = they are an account's own, by
    `owner_column`. owner: how that account is called. movable: another account may get it.
    bare_ids: whether a number alone may be an id, not only `#5`. stays: why a row is never removed, and what to do.
    called: its name in sentences about what was done or refused, "" = `name`.
    noun: what people call one where it is not the last of the words; several have an s.
    lent: the fields that who does not see its account sees of a row; () = all. view: where such rows are read with the
    others; "" = in the table.
    instead: sets of fields of which one is said: saying a field of one takes away what all others say.
    """

    name: str
    section: str
    words: tuple[str, ...]
    table: str
    help: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    named_by: tuple[str, ...]
    joint: str = ""
    parent: str = ""
    parent_column: str = ""
    owner: str = ACCOUNT
    owner_column: str = "account_id"
    primary: tuple[str, ...] = ("id",)
    is_global: bool = False
    movable: bool = False
    bare_ids: bool = True
    stays: str = ""
    called: str = ""
    noun: str = ""
    lent: tuple[str, ...] = ()
    view: str = ""
    instead: tuple[tuple[str, ...], ...] = ()

    def field(self, name: str) -> Field:
        """Return a field by its name; KeyError for none."""
        return self.by_name[name]

    @property
    def one(self) -> str:
        """Return what people call one."""
        return self.noun or self.words[-1]

    @property
    def typed(self) -> str:
        """Return its name as the command line has it, for what is refused: rewrite-set."""
        return (self.called or self.name).replace("_", "-")

    @property
    def told(self) -> str:
        """Return its name as sentences about what was done have it: rewrite set."""
        return (self.called or self.name).replace("_", " ")

    @property
    def many(self) -> str:
        """Return what people call several."""
        return f"{self.noun}s" if self.noun else self.section.replace("_", " ")

    @property
    def by_name(self) -> dict[str, Field]:
        """Return name -> field, in order."""
        return {each.name: each for each in self.fields}

    @property
    def written(self) -> tuple[Field, ...]:
        """Return the fields that can be said; the others are computed."""
        return tuple(each for each in self.fields if not each.computed)

    @property
    def has_id(self) -> bool:
        """Whether its rows can be named by a number."""
        return self.primary == ("id",)

    def displaced(self, values: Mapping[str, Any]) -> list[Field]:
        """Return the fields that become as by default with these values. values: field -> plain or stored form."""
        said = {name for names in self.instead for name in names if values.get(name) not in (None, [], "")}
        kept = {name for names in self.instead if said.intersection(names) for name in names}
        others = {name for names in self.instead for name in names} - kept
        return [each for each in self.fields if said and each.name in others and each.name not in values]

    def parts(self, text: str) -> dict[str, str]:
        """Return field -> text of what a person named a row by; of several fields the last ones may be left out."""
        texts = text.split(self.joint, len(self.named_by) - 1) if self.joint else [text]
        return dict(zip(self.named_by, texts, strict=False))


def as_typed(value: object) -> str:
    """Return a plain value as a person wrote it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
