"""A job as a plan, and the plan as a walk over its steps; the two modules that import Ray."""
