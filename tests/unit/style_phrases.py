"""Phrases that this project does not use, and what to write instead (docs/style.md).

A space in a pattern also matches a line break, so that wrapped sentences are checked too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    """One entry of the word list. ``found`` and ``allowed`` are texts that test the pattern."""

    pattern: str
    instead: str
    found: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    def compiled(self) -> re.Pattern[str]:
        """The pattern with spaces that match across lines and comment signs."""
        return re.compile(self.pattern.replace(" ", r"(?:\s+#?\s*)"), re.IGNORECASE)


_UNIT = (
    r"(?:pass|call|listing|replica|instance|service|component|task|cluster|graph|policy"
    r"|API|family|container)"
)
_JOINS = r"(?:after|and|before|by|for|from|if|in|is|of|on|or|to|than|until|when|while|with)"
PHRASES = (
    Phrase(
        r"\bcan not\b(?! only)",
        "cannot",
        ("it can not", "it can\n    # not"),
        ("it cannot", "can not only read"),
    ),
    Phrase(
        r"\bfor ever\b",
        "indefinitely",
        ("waits for ever",),
        ("for every task", "forever"),
    ),
    Phrase(r"(?<!as\s)\bof now\b", "current", ("the endpoints of now",), ("as of now",)),
    Phrase(
        r"\bin hand\b",
        "pending, or in flight",
        ("requests in hand",),
        ("in handover", "in handlers"),
    ),
    Phrase(
        r"(?<!and\s)\bno more\b(?=\s*(?:[.,;:)\"'`]|$)| (?:and|or|when|where|once|from now|by)\b)",
        "no longer",
        ("it answers no more.", "is declared no more, when", "knows it no more and"),
        ("no more than two", "no more replicas", "enough replicas, and no more."),
    ),
    Phrase(
        r"\b(?:is|are|was|were|be|been|being|not|has|have) told\b(?![.(\[])",
        "is reported, is shown, or is distinguished",
        ("it is told why", "not told"),
        ("told", "messages.told", "not told.startswith()"),
    ),
    Phrase(
        r"\btells? (?:of|nothing|more|why|whose|how|what|it|no|the (?!two\b))\b",
        "report, say, or show",
        ("tells of prefill", "a page tells why"),
        ("tells apart", "tells the two apart"),
    ),
    Phrase(r"\bmend(?:s|ed|ing)?\b", "fix", ("mends a file",), ("recommends", "amend")),
    Phrase(r"\bwho(?:so)?ever\b", "anyone who, or the caller", ("whoever leads",)),
    Phrase(
        r"(?<!copy\s)(?<!part\s)(?<!instance\s)\bof itself\b",
        "about itself, or nothing",
        ("does not know of itself",),
        ("a copy of itself",),
    ),
    Phrase(
        r"\b(?:and|or) the like\b",
        "and similar options, or a full list",
        ("a network or the like",),
        ("the likely cause",),
    ),
    Phrase(
        rf"(?:\b(?:once|twice|times|few|most|many|one|two|three|four|five|\d[\d,.]*)"
        rf"(?: (?!{_JOINS}\b)\w+)?|\b(?:seconds|replicas|items|entries|lines?|ARNs|ms))"
        rf" an? {_UNIT}\b",
        "per ... (per pass, per call)",
        ("one line a pass", "100 a call", "100 names a call", "one replica an instance"),
        (
            "one per call",
            "gives a task",
            "in a pass",
            "503 until a pass",
            "names a task",
            "1 while a graph",
            "2  # a request",
        ),
    ),
    Phrase(
        r"\bin the place of\b",
        "instead of",
        ("in the place of vLLM",),
        ("in place of",),
    ),
    Phrase(
        r"\b(?!there\b)\w+[\"'`]* (?:is|are) no (?!longer\b|more\b|less\b|fewer\b|better\b|worse\b)"
        r"[a-z]+",
        "is not a, or there is no",
        ("which is no failure", "they are no proof"),
        ("there is no failure", "is no longer", "there are\n    # no tasks"),
    ),
    Phrase(
        r"\b(?:go|goes|going|went) on\b(?! (?:an?|the|top|one|another)\b)",
        "continue",
        ("the daemon goes on.", "goes on with it"),
        ("goes on the instance", "goes on top"),
    ),
    Phrase(r"\blets? go\b(?! of)", "release, or stop", ("the old one is let go",)),
    Phrase(
        r"\bformer (?:(?!and\b|or\b|in\b|of\b)\w+ )?"
        r"(?:revisions?|tasks?|pass|service|member|one|ones|process)\b",
        "previous",
        ("the former revision", "a former process"),
        ("the former and the latter",),
    ),
    Phrase(r"\bat work\b", "busy", ("a worker at work",)),
    Phrase(r"\bluck\b", "random seed, or chance", ("the same luck",), ("lucky",)),
    Phrase(r"\bat rest\b", "unchanged, or converged", ("a graph at rest",)),
    Phrase(
        r"\b(?:thereof|wherefore|whence|thence|lest|aught|naught|ere)\b",
        "a plain word",
        ("lest it fails",),
        ("latest",),
    ),
    Phrase(
        r"\bsave (?:for|that)\b|\bbut for (?=the|its|a)\b",
        "except, or without",
        ("all save for one", "unchanged but for the tag"),
        ("save the file", "but for every"),
    ),
    Phrase(
        r"\b(?:of|to|for|by|with|from) who\b",
        "of those who, or a noun",
        ("a record of who drains",),
        ("for those who wait",),
    ),
    Phrase(
        r"\bso many (?!that\b)\w+",
        "the number of, or that many",
        ("so many replicas are kept",),
        ("so many that it fails",),
    ),
    Phrase(
        r"\b(?:find|finds|found|finding) (?:no|a) place\b",
        "fits (does not fit), or has (no) capacity",
        ("a replica finds no place",),
        ("no place holder found",),
    ),
    Phrase(
        r"\b(?:give|gives|given|giving|gave) (?:it |them )?back\b",
        "release",
        ("instances are given back", "to give them back"),
        ("gives it to them",),
    ),
    Phrase(
        r"\b(?:take|takes|taken|taking|took) (?:it |them )?back\b",
        "roll back",
        ("a revision is taken back", "ECS takes it back"),
        ("takes a backup",),
    ),
    Phrase(r"\b(?:no such|such a|such) one\b|\bbe it\b", "a noun", ("None without such one",)),
)
TEXT_STARTS = ("What ", "Who ", "Whose ", "Of ", "Or ", "Tell ", "Tells ", "That ")
"""Docstrings and comments begin with a verb or a noun, not with a clause or a fragment."""
IDENTIFIERS = {
    r".*_A_(?:CALL|LIST|PASS|REQUEST)": "..._PER_CALL",
    r"A_(?:CALL|LIST|PASS|REQUEST)": "PER_CALL",
}
"""Identifiers that are not used, and an example of what to use."""
PLACEHOLDERS = frozenset(
    {"found", "given", "held", "leaving", "made", "one", "scene", "seen", "told", "wanted"}
)
"""Identifiers that are not used: a thing has its own name."""
