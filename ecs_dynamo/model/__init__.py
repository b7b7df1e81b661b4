"""The values everything else speaks in: graph file, graph, snapshot, plan. No I/O, no clock."""
