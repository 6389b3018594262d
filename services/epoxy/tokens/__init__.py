"""How a booting machine becomes a node: a token for this one host, and the signature that only this host gets.

`serve` is the extension server that ePoxy asks on behalf of a machine; `approve` is the controller that says yes to
the certificate which the token was made for, and to no other. They share no memory: what binds a token to its host is
written on the token's Secret. See docs/epoxy-tokens.md.
"""
