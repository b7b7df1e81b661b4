"""The load of a component: work as it arrives, its level, its forecast and the reserve."""
