"""How old usage is when an autoscaler asks, and how soon it sees a change of the load."""
