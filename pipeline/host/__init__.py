"""This process and the machine that it runs on: signals, environment, devices, what it has used."""
