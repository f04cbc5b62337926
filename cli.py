"""The operator's command line: ``python cli.py --help``.

Every command imports what it needs when it runs, so that help and mistakes are
answered at once.
"""

import sys
from collections.abc import Callable
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
    )
    _finish(lambda: run_stack(options))


@app.command()
def doctor() -> None:
    """Look at what this machine has, and say what is missing."""
    from stack.doctor import examine

    _finish(examine)


@app.command()
def demo(*, as_json: JsonOption = False) -> None:
    """Buy, pull the plug at the worst moment, and watch it become whole again."""
    from stack.demo import run_demo

    _finish(lambda: run_demo(as_json=as_json))


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
