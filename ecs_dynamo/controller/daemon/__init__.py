"""The long-running daemon: a loop for each graph, the graph files, and the HTTP port."""
