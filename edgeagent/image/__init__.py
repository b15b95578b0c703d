"""Guest images: building them from firmware-images/, and saying what one is before it runs."""
