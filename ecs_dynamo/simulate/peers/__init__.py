"""Other scalers that users could choose, after their published algorithms and with their defaults.

Each has one target and uses the measure of backlog that suits it best. A decision period shorter
than the simulator's tick becomes the tick. Open questions are decided in favour of the peer: it
receives every metric immediately (CloudWatch and Prometheus are a minute late), and a backlog per
replica is also divided by the replicas that are starting; otherwise several of them would launch
the same replicas again in every period.
"""
