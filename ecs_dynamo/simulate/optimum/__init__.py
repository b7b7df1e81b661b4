"""The worth of perfect knowledge: a lower bound, schedules, fixed fleets and the true load."""
