"""The page of ``nstbench --help``, in half the time of Typer's own page.

Typer's help imports Rich's Markdown and traceback modules, and with them markdown-it and Pygments:
two fifths of the processor time of ``nstbench --help``. A list of commands needs neither. The pages
of single commands are Typer's own.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class Overview(TyperGroup):
    """The group of all commands; its help page needs panels and tables only."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print usage, options and commands in the layout of Typer.

        Args:
            ctx: click's context of the group.
            formatter: click's formatter; not used, because Rich prints.
        """
        from rich.console import Console
        from rich.padding import Padding
        from rich.text import Text

        console = Console(highlight=False)
        console.print(Padding(Text(self.get_usage(ctx).strip(), style="bold"), 1))
        console.print(Padding(Text(self.help or ""), (0, 1, 1, 1)))
        records = [param.get_help_record(ctx) for param in self.get_params(ctx)]
        _panel(console, "Options", [record for record in records if record])
        commands = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
        rows = [
            (command.name or "", _first_paragraph(command.short_help or command.help or ""))
            for command in commands
            if command is not None and not command.hidden
        ]
        _panel(console, "Commands", rows)


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _panel(console: Any, title: str, rows: list[tuple[str, str]]) -> None:
    """Print names with their meanings in a frame."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, expand=True, box=None, pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True, width=max(len(name) for name, _ in rows))
    table.add_column(ratio=1)
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    console.print(Panel(table, border_style="dim", title=title, title_align="left"))
