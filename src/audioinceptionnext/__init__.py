"""AudioInceptionNeXt: any recording in, a timeline of sounds out."""
