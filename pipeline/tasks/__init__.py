"""What a step is made of: phases of tasks, what they claim, and what of them is done already."""
