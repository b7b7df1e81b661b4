"""How the old side of a rollout hands over to the new one: which old tasks are kept, until when.

ECS considers a running task healthy and stops an old one for it. Only this daemon knows whether a
task serves, so old tasks are protected while new ones are not *ready*. One old task is released for
each new one that has stayed ready for one discovery lease, idle ones first; a busy one gets the
drain time. A protection lasts for the deadline of the rollout (`drain_record`), so that a daemon
that does not return blocks nothing beyond it.

`rolling` handles the rollout of one component at unchanged endpoints, `moves` that of all
components after their endpoints moved. Where not all old tasks can be kept, they are ranked:

| rank | `rolling.hand_over`                  | `usefulness.most_useful_first` (moves)            |
| ---- | ------------------------------------ | ------------------------------------------------- |
| 1    | is ready                             | its etcd still runs                               |
| 2    | may serve (readiness not disproved)  | is known to serve; infrastructure: more users     |
| 3    | is busy                              | infrastructure: frontends are among its users     |
| 4    | has not begun to drain               | is in use: registered, or at an injected endpoint |
| 5    | -                                    | has run for longest                               |

The lowest rank is released first. Ties are broken by ARN, so that every pass chooses the same task.
"""
