"""Who is told what happens while a run goes on: a person, a log, a file."""
