"""A job as a plan, and the plan as a walk over its steps; its executors: Ray, or processes of this machine."""
