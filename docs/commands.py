"""Print the command line's own help as Markdown: `make docs`."""

import click

from pipeline.cli import main


def sections(command: click.Command, name: str) -> list[str]:
    """One section for a command, and those of its subcommands."""
    context = click.Context(command, info_name=name)
    parts = [f"## {name}\n\n```\n{command.get_help(context)}\n```\n"]
    for child in getattr(command, "commands", {}).values():
        parts += sections(child, f"{name} {child.name}")
    return parts


if __name__ == "__main__":
    print("# Commands\n\n" + "\n".join(sections(main, "corelane")))
