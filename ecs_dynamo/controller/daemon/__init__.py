"""The long-running daemon: one loop per graph, its graph files and its HTTP port."""
