"""Pure scaling policies: from measured demand to desired counts, with the reasons."""
