"""Light and what it does on the way to the sensor: lamps, windows, shadows, exposure, foil."""
