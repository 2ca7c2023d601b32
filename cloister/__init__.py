"""What every room of Cloister shares: settings, wire types, errors, client, launcher. No torch."""

__version__ = "0.1.0"
