"""Leadership: of several daemons, at most one acts on a graph at a time."""
