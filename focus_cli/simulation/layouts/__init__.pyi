from .section import Section as Section
from .section import WrittenSection as WrittenSection
from .section import write_section as write_section

__all__ = [
    "Section",
    "WrittenSection",
    "write_section",
]
