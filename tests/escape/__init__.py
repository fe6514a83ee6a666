"""The escape suite: every row of the threat model attempted in the lab, jailed and not."""
