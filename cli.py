"""The operator's command line: ``python cli.py --help``.

Every command imports what it needs when it runs, so that help and mistakes are
answered at once.
"""

import sys
from collections.abc import Callable
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
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


def _in_shop(data: Path | None, command: Callable[[str], None]) -> None:
    """Run a command on a shop's database; what cannot be done is one sentence."""
    from operating.database import DatabaseAway
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
        _exit(take_back(checkout, actor))
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
    _exit(ask(order))


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
    from stack.environment import local
    from stack.errors import StackError
    from stack.places import DataFolder, remembered_port
    from stack.postgres import owner_url_of

    folder = DataFolder(data.expanduser().resolve())
    try:
        return Installation(
            owner_url=owner_url_of(data),
            secret_keys=(folder.secrets().secret_key,),
            public_url=local(remembered_port(folder, "api") or 0),
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


if __name__ == "__main__":
    app()
