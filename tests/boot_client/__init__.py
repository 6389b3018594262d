"""The node's side of a boot: the client against real servers, its documents, its stages."""
