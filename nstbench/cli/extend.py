"""The commands ``nstbench new`` and ``nstbench conformance``: for authors of plug-ins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nstbench.cli.options import Plugins, add_plugins
from nstbench.core.errors import UsageError

new_app = typer.Typer(no_args_is_help=True, help="Begin a plug-in of your own.")


@new_app.command("method")
def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method and of the package.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; the name if unset.")] = None,
) -> None:
    """Write a package with a method, its entry point and a conformance test that passes."""
    from nstbench.plugins.skeleton.package import write_skeleton

    folder = out or Path(name)
    for path in write_skeleton(name, folder):
        typer.echo(path)
    typer.echo(f"\npip install --editable '{folder}[test]' && nstbench conformance {name}")


def conformance(
    method: Annotated[str, typer.Argument(help="Name of a method.")],
    config: Annotated[
        Path | None,
        typer.Option("-c", "--config", help="Configuration file that defines programs."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Check a method against the contract, with the suite that the project's own ones pass."""
    add_plugins(plugin)
    from nstbench.plan.config import MethodSpec
    from nstbench.plan.config_file import build_config
    from nstbench.plan.variants import add_configured, make_variant

    if config is not None:
        add_configured(build_config({}, file=config))
    from nstbench.plugins import registry

    registry.find("methods", method)
    state = make_variant(MethodSpec(name=method), {}).card.availability
    if not state.ok:
        fix_for = f" {state.remedy}." if state.remedy else ""
        raise UsageError(f"'{method}' cannot be checked here: {state.reason}.{fix_for}")
    if not _conforms(method):
        raise typer.Exit(1)


def _conforms(method: str) -> bool:
    """Print each verdict as it falls; return True if there was nothing to complain of."""
    from rich.markup import escape

    from nstbench.cli.show.console import console
    from nstbench.generate.conformance import examine

    output = console()
    failed = count = 0
    for verdict in examine(method):
        count += 1
        failed += bool(verdict.problem)
        mark = "[red]fails [/red]" if verdict.problem else "[green]passes[/green]"
        label = verdict.check.replace("_", " ")
        output.print(f"{mark} [bold]{label}[/bold] [dim]{verdict.seconds:.1f} s[/dim]")
        if verdict.problem:
            output.print(f"       wanted: {escape(verdict.demands)}", soft_wrap=True)
            output.print(f"       found:  {escape(verdict.problem)}", soft_wrap=True)
    kept = f"breaks {failed} of {count}" if failed else f"keeps all {count}"
    output.print(f"[bold]{escape(method)}[/bold] {kept} rules of the contract.")
    return not failed
