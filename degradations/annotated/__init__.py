"""Real documents that somebody annotated: their files, the asked values in printed lines, and character boxes."""
