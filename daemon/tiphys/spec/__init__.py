"""What a manifest may say and what a status looks like, as typed, frozen structs. Pure: no clock, loop, disk or network."""
