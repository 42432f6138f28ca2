"""A job as a plan, and the plan as a walk over its steps; the one module that imports Ray."""
