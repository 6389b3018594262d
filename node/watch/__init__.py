"""Says which files below a folder are complete, as soon as they are: shared by the programs that handle spools."""
