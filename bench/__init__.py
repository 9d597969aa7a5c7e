"""What durability costs, measured against the bare CLI, a bare spawn and a bare pipe in the same run."""
