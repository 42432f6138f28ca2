"""This process and the machine that it runs on: signals, environment, devices, use of time and memory."""
