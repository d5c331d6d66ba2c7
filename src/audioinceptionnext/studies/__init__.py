"""`ainext study`: questions about networks and training, as data, and the runs that answer them."""
