"""Leadership: of several daemons, one acts on a graph at a time."""
