"""The operator's command line: ``python cli.py --help``.

Every command imports what it needs when it runs, so that help and mistakes are
answered at once.
"""

import os
import sys
from collections.abc import Callable
from getpass import getuser
from pathlib import Path
from typing import Annotated, Literal

import typer

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


def _in_shop(data: Path | None, command: Callable[[str], None]) -> None:
    """Run a command on a shop's database; what cannot be done is one sentence."""
    from operating.shop import DatabaseAway
    from settings import SettingsError, load_database_url

    try:
        command(load_database_url() if data is None else _url_of_stack(data))
    except (DatabaseAway, SettingsError) as error:
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


@app.command()
def refund(
    checkout: Annotated[str, typer.Argument(help="Its id, or its reference code.")],
    *,
    actor: Annotated[str, typer.Option(help="Who asks: your name.")],
    amount: Annotated[
        str | None, typer.Option(help="How much, typed in full: 249.00.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, in a sentence.")] = None,
    keep_access: Annotated[
        bool, typer.Option("--keep-access", help="Access stays, whatever goes back.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Take back a refund not sent yet.")
    ] = False,
) -> None:
    """Give money back after ten minutes, in which it can be taken back."""
    from operating.refunds import RefundOrder, ask, take_back

    if cancel:
        _finish(lambda: take_back(checkout, actor))
        return
    if amount is None or reason is None:
        print("A refund needs --amount and --reason.", file=sys.stderr)
        raise typer.Exit(2)
    order = RefundOrder(
        checkout=checkout,
        amount=amount,
        actor=actor,
        reason=reason,
        keeps_access=keep_access,
    )
    _finish(lambda: ask(order))


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
def on_call_ack(incident: CodeArgument, *, actor: ActorOption) -> None:
    """Take an incident: nobody else is told, and nothing pauses by itself."""
    from operating import on_call as desk

    _leave(desk.acknowledge(incident, actor))


@on_call.command("snooze")
def on_call_snooze(
    incident: CodeArgument,
    *,
    hours: Annotated[
        float, typer.Option(min=0.1, max=336, help="For how long it may be silent.")
    ],
    reason: Annotated[str, typer.Option(help="Why; for your colleague.")],
    actor: ActorOption,
) -> None:
    """Silence an incident for some hours."""
    from operating import on_call as desk

    _leave(desk.snooze(incident, actor, hours, reason))


@on_call.command("resolve")
def on_call_resolve(incident: CodeArgument, *, actor: ActorOption) -> None:
    """End an incident; more of it is another one."""
    from operating import on_call as desk

    _leave(desk.resolve(incident, actor))


@app.command()
def drill(*, actor: ActorOption) -> None:
    """Send a real test down every on-call channel, and keep how it went."""
    from operating.drill import drill as rehearse

    _finish(lambda: rehearse(actor))


def _leave(code: int) -> None:
    """End a command that spoke to Temporal, with its exit code.

    The SDK's own threads may still run while Python takes itself apart, and then abort
    the process. https://github.com/temporalio/sdk-python/issues/300
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _finish(command: Callable[[], int]) -> None:
    """Exit with the command's code; what cannot be done is one plain sentence."""
    from stack.errors import StackError

    try:
        code = command()
    except StackError as error:
        print(error, file=sys.stderr)
        code = 1
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
