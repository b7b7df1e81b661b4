"""The values that all packages exchange: graph file, graph, snapshot, plan. No I/O, no clock.

`spec` is the graph file as a user writes it, `ecs` and `dynamo` hold facts about AWS and Dynamo,
and `memory` is what planning carries from one pass to the next.

More than 12 files: each holds the values of one concept, and most packages import several of them.
"""
