"""One writer for each platform: the files, names and formats of its vendor."""

from focus_cli.simulation.layouts.section import Section, WrittenSection, write_section

__all__ = ["Section", "WrittenSection", "write_section"]
