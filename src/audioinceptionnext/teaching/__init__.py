"""A model of your own sounds in seconds: a linear layer on the features of a trained network, without torch."""
