"""How numbers, tables and pictures look in a terminal."""
