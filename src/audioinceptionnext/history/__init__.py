"""What was recognised and when, in a database, with the clips that were kept."""
