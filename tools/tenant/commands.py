"""Commands made from descriptions: list, show, add, set and remove of any resource.

Typer reads a function's signature; here the signature is made from the fields, so no resource has code of its own.
Every option is text: what it may be is the field's to say, and an error names the option, the value and the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from inspect import Parameter, Signature
from typing import Annotated, Any, Final

import typer

from tools.account.options import Actor, As, DatabaseUrl, Json
from tools.session import one
from tools.tenant import actions
from tools.tenant.catalogue import above, resource
from tools.tenant.completion import rows, words_of
from tools.tenant.model import ACCOUNT, Field, Resource

VERBS: Final = ("list", "show", "add", "set", "remove")

_LIMIT: Final = Annotated[
    int | None,
    typer.Option("--limit", min=1, help=f"At most so many; default: {actions.PAGE}, with --json all."),
]
_ALL: Final = Annotated[bool, typer.Option("--all", help="All of them.")]


def group(of: Resource, verbs: Collection[str] = VERBS) -> typer.Typer:
    """Return the commands of a resource."""
    app = typer.Typer(name=of.words[-1], no_args_is_help=True, help=of.help)
    for verb in VERBS:
        if verb in verbs:
            app.command(verb)(command(of, verb))
    return app


def command(of: Resource, verb: str) -> Callable[..., None]:
    """Return the function of one command, with the signature that its resource and verb give it."""
    action = {
        "list": actions.list_rows,
        "show": actions.show_row,
        "add": actions.add_row,
        "set": actions.set_row,
        "remove": actions.remove_row,
    }[verb]

    def run(**given: Any) -> None:
        action(of, actions.Given(given))

    parameters = {**_subject(of, verb), **_options(of, verb), **_common(verb)}
    run.__name__ = f"{verb}_{of.name}"
    run.__doc__ = _sentence(of, verb)
    run.__annotations__ = {name: annotation for name, (annotation, _) in parameters.items()}
    run.__signature__ = Signature(  # type: ignore[attr-defined]  # what typer looks at
        [
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in parameters.items()
        ]
    )
    return run


Parameters = dict[str, tuple[Any, Any]]  # name -> annotation, default


def _subject(of: Resource, verb: str) -> Parameters:
    """Return the argument: the name of one row, or for `list` the beginning of names."""
    named = of.joint.join(name.upper() for name in of.named_by)
    if verb == "list":
        help_ = f"Only those whose {of.field(of.named_by[0]).option} begins so."
        argument = typer.Argument(metavar=f"[{of.named_by[0].upper()}]", help=help_, autocompletion=rows(of))
        return {actions.BEGINS: (Annotated[str, argument], "")}
    if verb == "add":
        rule = "; ".join(of.field(name).kind.rule for name in of.named_by)
        known = words_of(of.field(of.named_by[0])) if len(of.named_by) == 1 else None
        argument = typer.Argument(metavar=named, help=f"{rule[:1].upper()}{rule[1:]}.", autocompletion=known)
        return {actions.WHO: (Annotated[str, argument], ...)}
    ids = " or its id, #5" if of.has_id else ""
    argument = typer.Argument(metavar=named, help=f"Its name{ids}.", autocompletion=rows(of))
    return {actions.WHO: (Annotated[str, argument], ...)}


def _options(of: Resource, verb: str) -> Parameters:
    """Return the options: where the row belongs, and its fields where they are written."""
    found: Parameters = {}
    if (upper := above(of)) is not None:
        help_ = f"The {upper.one} it belongs to." if verb == "add" else f"Only of this {upper.one}."
        found[of.parent] = _text(of.parent.replace("_", "-"), help_, completion=rows(upper))
    if upper is None or verb == "list":
        mine = "Whose it will be; default: the acting account's." if verb == "add" else "Only of this account."
        found[of.owner] = _text(of.owner, mine, completion=rows(resource(ACCOUNT)))
    if verb in {"add", "set"}:
        found |= {each.name: _field(each) for each in _said(of, verb)}
    if verb == "set" and of.movable:
        found[actions.TO] = _text("to", "Give it to this account.", completion=rows(resource(ACCOUNT)))
    return found


def _said(of: Resource, verb: str) -> list[Field]:
    """Return the fields that are options of a command."""
    if verb == "add":
        return [each for each in of.written if each.name not in of.named_by]
    return [each for each in of.written if not each.fixed]


def _field(field: Field) -> tuple[Any, Any]:
    default = "" if field.required or field.default in (None, "", []) else f" Default: {_said_default(field)}."
    commas = " Separated by commas." if field.kind.schema.get("type") == "array" else ""
    completion = rows(resource(field.refers)) if field.refers else words_of(field)
    return _text(field.option, f"{field.help}{commas}{default}", metavar=_metavar(field), completion=completion)


def _said_default(field: Field) -> str:
    value = field.default
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(value) if isinstance(value, list) else str(value)


def _metavar(field: Field) -> str:
    """Return what a value looks like, which the name of its option does not say."""
    known, type_ = field.kind.schema.get("enum"), field.kind.schema.get("type")
    if known:
        return "|".join(word for word in known if word)
    if field.refers:
        return "NAME"
    return {"boolean": "yes|no", "integer": "NUMBER", "array": "LIST"}.get(str(type_), "TEXT")


def _text(option: str, help_: str, *, metavar: str = "", completion: Any = None) -> tuple[Any, Any]:
    given = typer.Option(
        f"--{option}", help=help_, metavar=metavar or "NAME", autocompletion=completion, show_default=False
    )
    return Annotated[str | None, given], None


def _common(verb: str) -> Parameters:
    found: Parameters = {"database_url": (DatabaseUrl, Parameter.empty)}
    if verb == "list":
        found |= {"limit": (_LIMIT, None), "everything": (_ALL, False)}
    found["as_account"] = (As, "")
    if verb in {"add", "set", "remove"}:
        found["actor"] = (Actor, "")
    return {**found, "as_json": (Json, False)}


def _sentence(of: Resource, verb: str) -> str:
    a_row = one(of.one)
    if verb == "remove":
        if of.stays:
            return f"Refused: {of.stays}."
        return f"Remove {a_row} and what belongs to it, at once: nobody is asked."
    return {
        "list": f"List {of.many} that the acting account sees.",
        "show": f"Show {a_row} and what belongs to it.",
        "add": f"Add {a_row}.",
        "set": f"Change {a_row}. An empty text stands for the default: it takes a value away.",
    }[verb]
