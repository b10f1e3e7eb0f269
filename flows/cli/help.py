"""Help as text: commands in groups, each by the first sentences of its help, in full."""

from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click.core import Context
    from typer._click.formatting import HelpFormatter

SET_UP, EVERY_DAY, MODELS, GOVERNANCE, EXPLORE = "Set up", "Every day", "Models", "Governance", "Explore"
GROUPS = (SET_UP, EVERY_DAY, MODELS, GOVERNANCE, EXPLORE)


class GroupedCommands(TyperGroup):
    """The program's commands, listed by the group (`rich_help_panel`) that each names."""

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write one section per group, in their order."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        widest = max(len(name) for name, _ in commands)
        for group in GROUPS:
            rows = [(name.ljust(widest), _summary(command)) for name, command in commands if _group(command) == group]
            with formatter.section(group):
                formatter.write_dl(rows)


def _group(command: Any) -> str | None:
    group: str | None = command.rich_help_panel
    return group


def _summary(command: Any) -> str:
    """Return the first paragraph of a command's help."""
    return " ".join((command.help or "").split("\n\n")[0].split())
