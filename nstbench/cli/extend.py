"""The commands ``nstbench new`` and ``nstbench conformance`` for authors of plug-ins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nstbench.cli.options import ConfigFile, Plugins, add_plugins
from nstbench.core.errors import UsageError

if TYPE_CHECKING:
    from nstbench.generate.conformance.method_checks import Verdict

new_app = typer.Typer(no_args_is_help=True, help="Create a plug-in.")


@new_app.command("method")
def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method and of the package.")],
    out: Annotated[Path | None, typer.Option(help="Folder to create; the name if unset.")] = None,
) -> None:
    """Write a package with a method, its entry point and a conformance test that passes."""
    from nstbench.plugins.skeleton.package import write_skeleton

    folder = out or Path(name)
    for path in write_skeleton(name, folder):
        typer.echo(path)
    typer.echo(f"\npip install --editable '{folder}[test]' && nstbench conformance {name}")


def conformance(
    name: Annotated[str, typer.Argument(help="Name of a method or a metric.")],
    config: ConfigFile = None,
    plugin: Plugins = None,
) -> None:
    """Check a method or a metric with the tests that every built-in one passes."""
    add_plugins(plugin)
    from nstbench.generate.conformance import method_checks, metric_checks
    from nstbench.plan.config import MethodSpec
    from nstbench.plan.config_file import build_config
    from nstbench.plan.variants import add_configured, make_variant, metric_card
    from nstbench.plugins import registry

    if config is not None:
        add_configured(build_config({}, file=config))
    if name in registry.names("metrics"):
        state, examine = metric_card(name).availability, metric_checks.examine
    else:
        registry.find("methods", name)
        variant = make_variant(MethodSpec(name=name), {})
        state, examine = variant.card.availability, method_checks.examine
    if not state.ok:
        remedy = f" {state.remedy}." if state.remedy else ""
        raise UsageError(f"'{name}' cannot be checked on this machine: {state.reason}.{remedy}")
    if not _conforms(name, examine(name)):
        raise typer.Exit(1)


def _conforms(name: str, verdicts: Iterable[Verdict]) -> bool:
    """Print the verdict of each check; return True if all checks passed."""
    from rich.markup import escape

    from nstbench.cli.show.console import console

    output = console()
    failed = count = 0
    for verdict in verdicts:
        count += 1
        failed += bool(verdict.problem)
        mark = "[red]fails [/red]" if verdict.problem else "[green]passes[/green]"
        label = verdict.check.replace("_", " ")
        output.print(f"{mark} [bold]{label}[/bold] [dim]{verdict.seconds:.1f} s[/dim]")
        if verdict.problem:
            output.print(f"       demand: {escape(verdict.demands)}", soft_wrap=True)
            output.print(f"       result: {escape(verdict.problem)}", soft_wrap=True)
    result = f"fails {failed} of {count}" if failed else f"passes all {count}"
    output.print(f"[bold]{escape(name)}[/bold] {result} checks of the contract.")
    return not failed
