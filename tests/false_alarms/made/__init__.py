"""Traffic that is made here, by family; each family is a function (draw, number) -> Item."""
